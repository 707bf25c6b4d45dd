"""Ask one installed Gradio, with its own Python, how a small application does; print one JSON object.

The application has a Textbox and an Image, and is really served. Beside it, the same application is described with
models of its author's own in the picture's place. Only the standard library and Gradio are needed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import sys
import urllib.error
import urllib.request
import warnings
from functools import partial
from typing import Any

ASKED = ("gradio", "gradio-client", "pydantic", "fastapi", "starlette")
PATHS = ("/", "/info", "/gradio_api/info")
FINE = "ok"


def said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def application(model: Any = None) -> Any:
    import gradio  # noqa: PLC0415 -- whether it can be imported is part of the question

    with gradio.Blocks() as demo:
        text, picture = gradio.Textbox(), gradio.Image()
        if model is not None:
            picture.data_model = model
        gradio.Button().click(lambda text, picture: None, [text, picture], None)  # noqa: ARG005 -- named as they are
    return demo


def described(demo: Any) -> str:
    """Return what becomes of the description that the start page and ``/info`` are made of."""
    import gradio  # noqa: PLC0415 -- as above

    # Gradio 3 has a function in place of the method.
    describe = getattr(demo, "get_api_info", None) or partial(gradio.blocks.get_api_info, demo.config)
    try:
        describe()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is the answer
        return said(error)
    return FINE


def own_models() -> dict[str, Any]:
    """Return models that a component of one's own may have, by what is special to them; none for Gradio 3."""
    try:
        from gradio.data_classes import GradioModel  # noqa: PLC0415 -- as above
    except ImportError:
        return {}

    def model(annotations: dict[str, Any], **settings: str) -> Any:
        namespace = {"__module__": __name__, "__annotations__": annotations}
        return type(GradioModel)("Own", (GradioModel,), namespace, **settings)

    return {
        "dict": model({"facts": dict[str, Any]}),
        "allow": model({}, extra="allow"),
        "forbid": model({}, extra="forbid"),
    }


def served(demo: Any) -> tuple[str, dict[str, int | str]]:
    """Launch an application on a free port; return what launching says, and the status of each path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        demo.launch(
            prevent_thread_lock=True, server_name="127.0.0.1", server_port=port, quiet=True, show_error=False
        )  # fmt: skip
        launched = FINE
    except Exception as error:  # noqa: BLE001 -- where its own page fails, launching fails too, but it goes on serving
        launched = said(error)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    codes: dict[str, int | str] = {}
    for path in PATHS:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                codes[path] = answer.status
        except urllib.error.HTTPError as error:
            codes[path] = error.code
        except OSError as error:
            codes[path] = said(error)
    return launched, codes


def look() -> dict[str, Any]:
    found: dict[str, Any] = {"versions": {name: importlib.metadata.version(name) for name in ASKED}}
    try:
        demo = application()
    except Exception as error:  # noqa: BLE001 -- as above
        return {**found, "trouble": said(error)}
    found["api"] = described(demo)
    found["models"] = {name: described(application(model)) for name, model in own_models().items()}
    found["launch"], found["codes"] = served(demo)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # What Gradio prints of itself is not the answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(look()), file=answer, flush=True)
    os._exit(0)  # the server's thread would stay
