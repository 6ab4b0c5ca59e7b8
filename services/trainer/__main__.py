"""``python -m services.trainer STAGE``: what ``kinesphere train`` runs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import get_args

from kinesphere.errors import InputError
from services.trainer.recipes import Stage, load_recipe


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kinesphere train", description="Train one stage from a recipe and export it."
    )
    parser.add_argument("stage", choices=get_args(Stage))
    parser.add_argument(
        "--recipe", default="small", help="tiny, small, base, another shipped name, or a .yaml file"
    )
    parser.add_argument("--data", help="built data set, instead of the recipe's")
    parser.add_argument(
        "--models", help="model repository to build on and export into, instead of the recipe's"
    )
    parser.add_argument("--steps", type=int, help="stop after so many more updates; a later run goes on")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--no-export", action="store_true", help="train only")
    parser.add_argument(
        "--export-only", action="store_true", help="export the last checkpoint, train nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the last evaluation as JSON")
    return parser


def main() -> int:
    """Returns the exit status: 2 for a recipe or a path that is wrong, 130 after Ctrl-C."""
    options = parser().parse_args()
    named = (
        options.recipe if options.recipe.endswith((".yaml", ".yml")) else f"{options.stage}/{options.recipe}"
    )
    try:
        recipe = load_recipe(named)
        if recipe.stage != options.stage:
            raise InputError("recipe.stage", f"{named} trains {recipe.stage}, not {options.stage}")
        named_here = {"data": options.data, "models": options.models}
        recipe = recipe.model_copy(update={key: value for key, value in named_here.items() if value})
        from services.trainer.run import train  # brings torch: a wrong recipe is told before

        metrics = train(
            recipe,
            export=not options.no_export,
            steps=options.steps,
            threads=options.threads,
            export_only=options.export_only,
        )
    except InputError as error:
        return _refuse(error.field, error.reason, options.json)
    except FileNotFoundError as error:
        return _refuse(str(error.filename or ""), error.strerror or str(error), options.json)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint", file=sys.stderr)  # noqa: T201
        return 130
    if options.json:
        print(json.dumps(metrics))  # noqa: T201
    return 0


def _refuse(field: str, reason: str, as_json: bool) -> int:
    """The same words as every other command's."""
    error = {"error": {"field": field, "reason": reason}}
    line = json.dumps(error) if as_json else "kinesphere: " + ": ".join(filter(None, (field, reason)))
    print(line, file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
