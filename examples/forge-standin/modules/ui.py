"""The page. Element ids are Forge's, so that a script written for Forge's page finds them."""

from __future__ import annotations

from pathlib import Path

import gradio

from modules import ui_config
from modules.offline import system_fonts_theme
from modules.options import Options
from modules.paths import script_path
from modules.processing import BadRequest, Processor, Request


def create_ui(options: Options, processor: Processor, ui_config_file: Path) -> gradio.Blocks:
    """The Blocks, ready to queue and launch."""
    defaults = ui_config.load(ui_config_file)
    style = (script_path / "style.css").read_text(encoding="utf-8")
    footer = (script_path / "html" / "footer.html").read_text(encoding="utf-8")

    def generate(prompt: str, seed: float, steps: float, width: float, height: float):
        try:
            request = Request(prompt=prompt, seed=int(seed), steps=int(steps), width=int(width), height=int(height))
        except BadRequest as error:
            raise gradio.Error(str(error)) from error
        result = processor.run(request)
        return result.image, result.infotext, str(result.file or "")

    def save(file: str, infotext: str) -> str:
        if not file:
            raise gradio.Error("Nothing to save: generate a picture first, with samples_save on.")
        return f"{infotext}\nSaved: {processor.keep(Path(file), infotext)}"

    with gradio.Blocks(title="Forge stand-in", theme=system_fonts_theme(), css=style, analytics_enabled=False) as demo:
        with gradio.Row():
            prompt = gradio.Textbox(label="Prompt", lines=3, value=defaults["txt2img/Prompt/value"], scale=6,
                                    placeholder="A lighthouse in the fog", elem_id="txt2img_prompt")
            button = gradio.Button("Generate", variant="primary", elem_id="txt2img_generate")
        with gradio.Row():
            with gradio.Column():
                seed = gradio.Number(label="Seed", value=defaults["txt2img/Seed/value"], precision=0, elem_id="txt2img_seed")
                steps = gradio.Slider(1, 150, step=1, label="Sampling steps", elem_id="txt2img_steps",
                                      value=defaults["txt2img/Sampling steps/value"])
                width = gradio.Slider(64, 2048, step=8, label="Width", elem_id="txt2img_width",
                                      value=defaults["txt2img/Width/value"])
                height = gradio.Slider(64, 2048, step=8, label="Height", elem_id="txt2img_height",
                                       value=defaults["txt2img/Height/value"])
            with gradio.Column():
                picture = gradio.Image(label="Picture", format="png", elem_id="txt2img_image", interactive=False)
                infotext = gradio.Textbox(label="Parameters", interactive=False, lines=3, elem_id="txt2img_infotext")
                keep = gradio.Button("Save", elem_id="txt2img_save")
        file = gradio.State("")
        gradio.HTML(footer.replace("{model}", options["sd_model_checkpoint"]))
        button.click(generate, [prompt, seed, steps, width, height], [picture, infotext, file], api_name="txt2img")
        keep.click(save, [file, infotext], infotext, api_name=False)
    return demo
