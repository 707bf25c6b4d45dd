"""Generates the table of units, and CMake's list of what it generates: ``python -m torchgen.gen --install-dir DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

_YAML = Path("aten/src/ATen/native/native_functions.yaml")


def main() -> None:
    """Write what was asked for; ``--dry-run`` writes the list alone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--install-dir", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    folder: Path = options.install_dir
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "RegisterUnits.cpp"
    (folder / "generated_sources.cmake").write_text(f'set(generated_sources "{source}")\n')
    if options.dry_run:
        return
    lines = _YAML.read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("- func:")]
    declared = "".join(f"double {name}(double);\n" for name in names)
    listed = "".join(f", {name}" for name in names)
    source.write_text(
        f"#include <ATen/ATen.h>\n\nnamespace at::native {{\n{declared}}}\n\n"
        f"namespace at {{\nusing namespace native;\n"
        f"static double nothing(double) {{ return 0; }}\n"
        f"static double (*const units[])(double) = {{nothing{listed}}};\n"
        f"std::size_t count_units() {{ return {len(names)}; }}\n"
        f"double run_units(double argument) {{\n  double total = 0;\n"
        f"  for (const auto unit : units) {{\n    total += unit(argument);\n  }}\n  return total;\n}}\n}}\n"
    )


if __name__ == "__main__":
    main()
