"""The part of Forge's HTTP API that tools ask for first: options, models, progress, txt2img."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Literal

import fastapi
from pydantic import BaseModel

from modules import images
from modules.options import Options
from modules.processing import BadRequest, Processor, Request
from modules.restart import ServerCommands


class TextToImageRequest(BaseModel):
    """The fields of Forge's request that mean something here; others are ignored, as Forge ignores unknown ones."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = -1
    steps: int = 12
    width: int = 512
    height: int = 512


class TextToImageResponse(BaseModel):
    """Base64 PNGs, the request as it was understood, and the infotext as JSON text."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


def mount(app: fastapi.FastAPI, options: Options, processor: Processor, commands: ServerCommands, *,
          server_stop: bool) -> None:
    """Add the routes under /sdapi/v1 to a running application."""
    router = fastapi.APIRouter(prefix="/sdapi/v1")

    @router.get("/options")
    def get_options() -> dict[str, Any]:
        return options.as_dict()

    @router.post("/options")
    def set_options(changes: dict[str, Any]) -> None:
        try:
            options.update(changes)
        except KeyError as error:
            raise fastapi.HTTPException(422, f"no such setting: {error.args[0]}") from error
        except TypeError as error:
            raise fastapi.HTTPException(422, str(error)) from error

    @router.get("/sd-models")
    def sd_models() -> list[dict[str, str]]:
        return [{"title": file.name, "model_name": file.stem, "filename": str(file)}
                for file in sorted(processor.checkpoint.parent.glob("*.pt"))]

    @router.get("/progress")
    def progress() -> dict[str, Any]:
        return {"progress": processor.progress, "eta_relative": 0.0, "state": {"job_count": int(processor.progress > 0)}}

    @router.post("/txt2img")
    def txt2img(body: TextToImageRequest) -> TextToImageResponse:
        try:
            request = Request(**body.model_dump())
        except BadRequest as error:
            raise fastapi.HTTPException(422, str(error)) from error
        result = processor.run(request)
        info = {"prompt": request.prompt, "seed": result.seed, "infotexts": [result.infotext]}
        return TextToImageResponse(images=[images.encode_base64(result.image, result.infotext)],
                                   parameters=asdict(request), info=json.dumps(info))

    if server_stop:

        @router.post("/server-{command}")
        def server_command(command: Literal["stop", "restart"], after: fastapi.BackgroundTasks) -> None:
            # After the answer is sent: the process ends at once.
            after.add_task(commands.send, command)

    app.include_router(router)
