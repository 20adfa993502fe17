"""rlvr doctor [recipe=NAME key=value ...]: whether this machine can run that recipe.

Prints a table of what was found and what to do, and exits with 1 if anything would stop the run. Without a
recipe the machine alone is looked at. Over the network it asks only for what the recipe names, and
waits no longer than 5 s for each. The same: make doctor ARGS="...", python -m launch.preflight ...
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

# Read when huggingface_hub is imported.
for _limit in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
    os.environ[_limit] = "5"

from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

from evals.sampling.settings import probe_config  # noqa: E402
from launch import machine, models, needs  # noqa: E402
from launch.machine import Finding, Gpu  # noqa: E402
from rlvr.config.errors import ConfigError  # noqa: E402
from rlvr.config.schema import Config  # noqa: E402
from rlvr.core.errors import exit_status  # noqa: E402
from rlvr.core.progress import plain_console  # noqa: E402
from rlvr.planning.checks import check_support  # noqa: E402
from rlvr.planning.memory import GIB  # noqa: E402
from rlvr.planning.recipe import load_config  # noqa: E402

STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 the recipe can run here, 1 something would stop it."""
    return exit_status(lambda: doctor(arguments))


def doctor(arguments: Sequence[str]) -> int:
    """Looks, prints, and returns the exit status; a wrong recipe is one of the findings."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    gpus = machine.torch_gpus()
    findings, config = [], None
    if arguments:
        config, finding = read_recipe(arguments, processes=max(len(gpus), 1))
        findings.append(finding)
    findings += of_machine(config, gpus)
    if config:
        findings += of_recipe(config, gpus)
    show(findings)
    return int(any(f.state == "fault" for f in findings))


def read_recipe(arguments: Sequence[str], processes: int) -> tuple[Config | None, Finding]:
    """The configuration, None where it is wrong, and what is to be said of it."""
    try:
        config = load_config(arguments, processes)
    except ConfigError as error:
        return None, Finding("recipe", "fault", str(error), "rlvr train --help lists every key")
    try:
        check_support(config)
    except ConfigError as error:
        return config, Finding("recipe", "fault", str(error))
    return config, Finding("recipe", "ok", config.recipe)


def of_machine(config: Config | None, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    """What concerns every run."""
    yield machine.check_python()
    yield needs.check_versions(config, bool(gpus))
    yield machine.check_gpus(gpus, machine.driver_gpus())
    yield machine.check_port(
        "MASTER_PORT",
        int(os.environ.get("MASTER_PORT", "29500")),
        "accelerate launch --main_process_port N; on one machine it finds a free one by itself",
        state="warning",
    )
    yield machine.check_shm()
    yield machine.check_open_files()
    yield machine.check_sandbox()


def of_recipe(config: Config, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    """What this recipe needs."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield needs.check_memory(config, gpus, ram)
    yield needs.check_disk(config)
    for name in dict.fromkeys((config.model, config.base_model)):
        yield models.check_model(name)
    yield needs.check_task(config.task, trained=True)
    for choice in probe_config(config).tasks:
        if (choice.name, choice.options) != (config.task.name, config.task.options):
            yield needs.check_task(choice, trained=False)
    yield needs.check_split(config)
    if config.engine.name == "vllm" and config.engine.mode == "server":
        yield from of_server(config)
    if config.monitor.wandb == "online":
        yield needs.check_wandb()


def of_server(config: Config) -> Iterator[Finding]:
    """The trainer waits at nccl_port for the server's workers, so it must be free here."""
    yield needs.check_server(config.engine.url)
    if config.engine.transfer == "nccl":
        yield machine.check_port("engine.nccl_port", config.engine.nccl_port, "give another engine.nccl_port")


def show(findings: Sequence[Finding]) -> None:
    """One row for each finding, under it what to do, and the count of faults."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for f in findings:
        found = Text(f.found)
        if f.advice:
            found.append("\nto do: ", "bold").append(f.advice)
        table.add_row(Text(f.state, STYLES[f.state]), f.check, found)
    console = plain_console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    faults, warnings = (sum(f.state == s for f in findings) for s in ("fault", "warning"))
    console.print(f"\n{faults} fault(s), {warnings} warning(s)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
