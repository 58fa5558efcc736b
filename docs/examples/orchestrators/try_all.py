"""`make orchestrators`: install each orchestrator beside this project, and run its example on the sample.

Each gets an environment and a home of its own under `.build/orchestrators`; the local runner answers with the stand-in.
Exits with 1 when one of them fails, naming it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACKAGES = {"airflow": "apache-airflow>=3,<4", "dagster": "dagster>=1.12,<2", "prefect": "prefect>=3,<4"}


def prepared(name: str) -> Path:
    """The Python of an environment with the orchestrator and this project."""
    folder = ROOT / ".build" / "orchestrators" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", str(folder)], check=True)
    packages = [PACKAGES[name], f"{ROOT}[local]"]
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *packages]
    subprocess.run(install, check=True)
    return python


def succeeded(name: str, home: Path) -> bool:
    """Whether the example ran to its end, with its rows in Parquet."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SLUICE_", "VIRTUAL_ENV"))},
        "HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DAGSTER_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "SLUICE_INPUT": str(ROOT / "sample_data" / "tickets.jsonl"),
        "SLUICE_TASK": str(ROOT / "tasks" / "tickets.yaml"),
        "SLUICE_OUT": str(home / "out"),
    }
    python = prepared(name)
    example = [str(python), str(HERE / f"{name}_labels.py")]
    if name == "airflow":  # it runs what stands in its own folder of DAGs, once its database knows it
        (home / "airflow" / "dags").mkdir(parents=True)
        shutil.copy(HERE / "airflow_labels.py", home / "airflow" / "dags")
        airflow = str(python.with_name("airflow"))
        for words in (["db", "migrate"], ["dags", "reserialize"]):
            subprocess.run([airflow, *words], env=environment, cwd=home, check=True, capture_output=True)
        example = [airflow, "dags", "test", "labels"]
    done = subprocess.run(example, env=environment, cwd=home, check=False)
    return done.returncode == 0 and any((home / "out").rglob("*.parquet"))


def main() -> None:
    """Try those that are named, or all."""
    failed = []
    for name in sys.argv[1:] or PACKAGES:
        with tempfile.TemporaryDirectory() as home:
            ran = succeeded(name, Path(home))
        print(f"{name}: {'ran' if ran else 'FAILED'}", flush=True)
        failed += [] if ran else [name]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
