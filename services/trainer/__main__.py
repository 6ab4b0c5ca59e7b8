"""``python -m services.trainer STAGE``: what ``kinesphere train`` runs."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from kinesphere.errors import InputError
from services.trainer.recipes import load_recipe


def main() -> int:
    """Train, then export. Bad input: one line that names the field, exit code 2."""
    parser = argparse.ArgumentParser(prog="kinesphere train", description="Train one stage from a recipe.")
    parser.add_argument("stage", help="evaluator, tokenizer, vae, decoder or sft")
    parser.add_argument(
        "--recipe", default="small", help="a .yaml file, or the name of one that ships: tiny, small, base"
    )
    parser.add_argument(
        "--steps", type=int, help="stop after this many more updates (the run can go on later)"
    )
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--models", type=Path, default=Path("models"), help="model repository to export into")
    parser.add_argument("--no-export", action="store_true", help="leave the model repository alone")
    parser.add_argument(
        "--export-only", action="store_true", help="export the last checkpoint, train no more"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    given = parser.parse_args()
    try:
        named = given.recipe if given.recipe.endswith((".yaml", ".yml")) else f"{given.stage}/{given.recipe}"
        recipe = load_recipe(named)
        if recipe.stage != given.stage:
            raise InputError(
                "recipe.stage", f"{given.recipe} is a recipe of stage {recipe.stage}, not {given.stage}"
            )
        from services.trainer.run import train

        # The loop draws its progress on stdout, which belongs to the JSON object.
        with contextlib.redirect_stdout(sys.stderr):
            metrics = train(
                recipe,
                models=None if given.no_export else given.models,
                steps=given.steps,
                threads=given.threads,
                export_only=given.export_only,
            )
    except InputError as error:
        details = {"error": {"field": error.field, "reason": error.reason}}
        line = json.dumps(details) if given.json else f"kinesphere: {error.field}: {error.reason}"
        print(line, file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    if given.json:
        print(json.dumps({"recipe": recipe.name, **metrics}))  # noqa: T201
    else:
        for name, value in metrics.items():
            print(f"{name}  {value:.4f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
