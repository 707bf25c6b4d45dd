"""The web application: one worker thread serves, the main thread waits for a server command.

As in Forge, a worker that dies leaves the process alive. Judge health by HTTP, never by the process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
import time

from modules import offline, paths
from modules.options import Options
from modules.restart import ServerCommands, request_restart
from modules.styles import load_styles


def run(args: argparse.Namespace) -> None:
    """Serve until a stop or restart is asked for, by signal or through the API."""
    started = time.monotonic()
    commands = ServerCommands()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: commands.send("stop"))
    worker = api_only_worker if args.nowebui else webui_worker
    threading.Thread(target=worker, args=(args, commands, started), daemon=True, name=worker.__name__).start()
    command = commands.wait()
    print(f"Server command: {command}", flush=True)
    if command == "restart":
        request_restart()
    # Like Forge: no interpreter shutdown, which would wait for gradio's queue workers.
    os._exit(0)


def prepare(args: argparse.Namespace):
    """State folders, settings, styles and the loaded generator, shared by both workers."""
    from modules.processing import Processor

    paths.create_state_folders()
    options = Options.load(args.ui_settings_file)
    load_styles(args.styles_file)
    return options, Processor(options, always_cpu=args.always_cpu, keep_prompt=not args.no_prompt_history)


def server_name(args: argparse.Namespace) -> str | None:
    """The address to bind: --server-name, else everywhere with --listen, else gradio's loopback default."""
    return args.server_name or ("0.0.0.0" if args.listen else None)


def webui_worker(args: argparse.Namespace, commands: ServerCommands, started: float) -> None:
    """Serve the page, and the API beside it with --api."""
    from modules import api, ui

    # gradio makes its locks for the calling thread's event loop, and leaves them None where there is none.
    asyncio.set_event_loop(asyncio.new_event_loop())
    options, processor = prepare(args)
    demo = ui.create_ui(options, processor, args.ui_config_file)
    demo.queue(64)
    app, _local_url, _share_url = demo.launch(
        server_name=server_name(args),
        server_port=args.port,
        prevent_thread_lock=True,
        share=False,
        show_api=True,
        allowed_paths=[str(paths.data_path)],
        root_path=f"/{args.subpath}" if args.subpath else "",
        app_kwargs={"docs_url": "/docs", "redoc_url": None},
    )
    # The server is already answering: adding a middleware means rebuilding the stack, as Forge does.
    app.middleware_stack = None
    app.add_middleware(offline.StripForeignTags)
    app.middleware_stack = app.build_middleware_stack()
    if args.api:
        api.mount(app, options, processor, commands, server_stop=args.api_server_stop)
    print(f"Startup time: {time.monotonic() - started:.1f}s.", flush=True)


def api_only_worker(args: argparse.Namespace, commands: ServerCommands, started: float) -> None:
    """Serve the API alone, on port 7861 unless told otherwise."""
    import fastapi
    import uvicorn

    from modules import api

    options, processor = prepare(args)
    app = fastapi.FastAPI()
    api.mount(app, options, processor, commands, server_stop=args.api_server_stop)
    config = uvicorn.Config(app, host=server_name(args) or "127.0.0.1", port=args.port or 7861, log_level="info")
    server = uvicorn.Server(config)
    print(f"Startup time: {time.monotonic() - started:.1f}s.", flush=True)
    server.run()
