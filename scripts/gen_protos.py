"""Generate the Python stubs of ``protos/kinesphere/v1`` into ``kinesphere/v1`` (both are committed).

    python scripts/gen_protos.py             write the stubs
    python scripts/gen_protos.py --check     exit 1 when the committed stubs are not what the protos say
    python scripts/gen_protos.py --baseline  write protos/baseline.binpb, which ``buf breaking`` compares with

``buf/validate/validate.proto`` becomes ``kinesphere.v1.validate_pb2``: a top-level package named ``buf`` would
collide with anybody else's.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos"
STUBS = ROOT / "kinesphere" / "v1"
CONFIG = ROOT / "services" / "common"
VALIDATE = "buf/validate/validate.proto"
INIT = '"""Generated messages and stubs of the API, version 1 (see ``protos/kinesphere/v1``)."""\n'
_REWRITE = ("from buf.validate import validate_pb2 as", "from kinesphere.v1 import validate_pb2 as")


def generate(target: Path) -> None:
    """Write every stub file of the API into the folder ``target``."""
    protos = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "kinesphere" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
        for plugin in ("mypy", "mypy_grpc"):
            found = Path(sys.executable).with_name(f"protoc-gen-{plugin}")
            protoc.append(f"--plugin=protoc-gen-{plugin}={found}")
        messages = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
        services = [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]
        subprocess.run([*protoc, *messages, VALIDATE, *protos], check=True)
        with_services = [
            name for name in protos if "\nservice " in (PROTOS / name).read_text(encoding="utf-8")
        ]
        subprocess.run([*protoc, *services, *with_services], check=True)
        target.mkdir(parents=True, exist_ok=True)
        made = [*(out / "kinesphere" / "v1").iterdir(), out / "buf" / "validate" / "validate_pb2.py"]
        for path in made:
            text = path.read_text(encoding="utf-8").replace(*_REWRITE)
            (target / path.name).write_text(text, encoding="utf-8")
    (target / "__init__.py").write_text(INIT, encoding="utf-8")


def generate_config(target: Path) -> None:
    """Write the stubs of ``services/common/model_config.proto`` (Triton's model configuration) into ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        mypy = Path(sys.executable).with_name("protoc-gen-mypy")
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", f"--plugin=protoc-gen-mypy={mypy}"]
        outputs = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
        subprocess.run([*protoc, *outputs, "services/common/model_config.proto"], check=True)
        for path in (out / "services" / "common").iterdir():
            text = path.read_text(encoding="utf-8").replace("  # noqa: Y015", "")
            text = "# ruff: noqa\n# fmt: off\n" + text
            (target / path.name).write_text(text, encoding="utf-8")


def check() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fresh, config = Path(folder, "v1"), Path(folder, "config")
        generate(fresh)
        config.mkdir()
        generate_config(config)
        names = {path.name for path in fresh.iterdir()} | {path.name for path in STUBS.glob("*.py*")}
        _, different, missing = filecmp.cmpfiles(fresh, STUBS, sorted(names), shallow=False)
        configs = sorted(path.name for path in config.iterdir())
        _, changed, absent = filecmp.cmpfiles(config, CONFIG, configs, shallow=False)
        different, missing = different + changed, missing + absent
    if different or missing:
        print(
            "stubs are not what the protos say; run scripts/gen_protos.py:",
            *different,
            *missing,
            file=sys.stderr,
        )
        return 1
    return 0


def baseline() -> None:
    """Write the image that ``buf breaking --against protos/baseline.binpb`` compares with."""
    buf = shutil.which("buf") or str(Path(sys.executable).with_name("buf"))
    target = str(PROTOS / "baseline.binpb")
    subprocess.run([buf, "build", "--exclude-source-info", "-o", target], check=True, cwd=ROOT)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--baseline", action="store_true", help="write the image for buf breaking")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if arguments.baseline:
        baseline()
        return 0
    generate(STUBS)
    generate_config(CONFIG)
    return 0


if __name__ == "__main__":
    sys.exit(main())
