"""``mentor learn``: one folder, one settings file, one command."""

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from mentor import progress
from mentor.exceptions import InputError, MentorError, StorageError
from mentor.learning.drivers import DriverChoice, chosen_driver
from mentor.learning.history import history
from mentor.learning.interrupts import remembered
from mentor.learning.labelling import local_executor
from mentor.learning.phases import Phases
from mentor.learning.processes import close_workers
from mentor.learning.results import CampaignResult
from mentor.learning.settings import CampaignSettings, check, fixed_entries, read_settings
from mentor.learning.store import DiskFullError, Store
from mentor.settings import command, option


@dataclass(frozen=True, kw_only=True)
class LearnSettings:
    """Settings of ``mentor learn``; all others are in the settings file of the campaign."""

    campaign: Path | CampaignSettings = option(
        help="Settings file of the campaign (campaign.toml).", positional=True
    )
    folder: Path | None = option(
        None, "Folder of the campaign; by default that of the settings file."
    )
    executor: Executor | None = option(
        None,
        "Any concurrent.futures.Executor for calculations and walkers; by default local processes.",
        python_only=True,
    )


@command(LearnSettings)
def learn(settings: LearnSettings) -> CampaignResult:
    """Run a campaign until it is finished, or go on with one that was interrupted.

    Starting from the structures named in the settings, molecular dynamics explores, the engine
    labels what the potential does not know, and the potential is refitted, until nothing new turns
    up; then it is tested on fresh labels. In the folder are then ``potential.almtp`` and
    ``potential.mtp``, their ``potential.posterior`` for uncertainties, ``training.xyz``,
    ``validation.xyz`` and ``labels.db``.

    Killed or interrupted at any moment, the same call goes on as if nothing had happened.

    Raises
    ------
    InputError
        The settings or files named there cannot be used, or differ from those the campaign in the
        folder was started with.
    EngineError
        The engine cannot run, or fails on everything.
    StorageError
        The folder cannot be written, its disk is full, or another campaign runs in it.
    """
    campaign, base, folder = _resolve(settings)
    driver = chosen_driver(campaign.explore, base)
    with Store(folder) as store:
        _check_same(store, campaign, driver)
        if store.fact("status") == "finished":
            progress.message(f"the campaign in {folder} is finished already; nothing to do")
            return CampaignResult.of(history(folder))
        executor = settings.executor or local_executor(
            campaign.run.workers, campaign.engine.threads
        )
        try:
            store.commit({"status": "running", "settings": campaign.as_dict()})
            with remembered() as interrupted:
                Phases(store, campaign, driver, executor, str(base), interrupted).run()
        except KeyboardInterrupt:
            store.commit({"status": "interrupted", "message": "stopped by the user"})
            progress.message(f"stopped; run the same command again to go on in {folder}")
            raise
        except DiskFullError as error:
            raise StorageError(
                f"{folder}: the disk is full; nothing is lost, free some space and run the same "
                "command again"
            ) from error
        except MentorError as error:
            if not isinstance(error, StorageError):
                store.commit({"status": "failed", "message": str(error)})
            raise
        finally:
            if settings.executor is None:
                executor.shutdown(wait=False, cancel_futures=True)
            close_workers()
            if settings.executor is None:
                executor.shutdown(wait=True)
    return CampaignResult.of(history(folder))


def _resolve(settings: LearnSettings) -> tuple[CampaignSettings, Path, Path]:
    """The campaign's settings, the folder its relative paths start from, and its own folder."""
    if isinstance(settings.campaign, CampaignSettings):
        campaign, base = check(settings.campaign), Path.cwd()
    else:
        campaign = read_settings(settings.campaign)
        base = Path(settings.campaign).resolve().parent
    return campaign, base, Path(settings.folder) if settings.folder is not None else base


def _check_same(store: Store, campaign: CampaignSettings, driver: DriverChoice) -> None:
    """Refuse to go on with settings other than those the campaign was started with.

    Until there is a label, everything may still be changed.
    """
    now = fixed_entries(campaign)
    now["explore"]["template"] = None if driver.template is None else driver.template.text
    known = store.fact("fixed")
    if known is None or store.label_count == 0:
        store.commit({"fixed": now})
        return
    for table, entries in now.items():
        for name, value in entries.items():
            before = known.get(table, {}).get(name, value)  # entries may be newer than a campaign
            if before == value:
                continue
            was = f"[{table}] {name} = {before!r}, not {value!r}"
            if name == "template":
                was = "another text of the template under [explore]"
            raise InputError(
                f"{store.folder}: the campaign here was started with {was}; change it back or "
                "choose another folder"
            )
