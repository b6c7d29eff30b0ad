"""``--report``: a report of what was trained, as one more file."""

from __future__ import annotations

import argparse
import logging

from ..errors import ScsystemsError
from .command import Command, path

logger = logging.getLogger(__name__)

ENDINGS = (".html", ".md")


def add_report(command: Command) -> None:
    """Options that ask for a report."""
    command.add_argument(
        "--report",
        type=path,
        metavar="FILE",
        help="write a report there: .html, or .md with pictures in a folder beside it",
    )
    command.add_argument(
        "--report-labels",
        metavar="COLUMN",
        help="cell column with cell types, which the report measures the result by; training does not see them "
        "(default: the column of --labels)",
    )


def check_report(options: argparse.Namespace) -> None:
    """Refuse a report that could not be written, before anything is trained."""
    from ..durable.steps import check_writable

    report = options.report
    if report is None:
        if options.report_labels is not None:
            raise ScsystemsError(
                f"--report-labels {options.report_labels}: there is no --report. Give --report FILE.html, or leave it "
                "out."
            )
        return
    if report.suffix not in ENDINGS:
        raise ScsystemsError(f"--report {report}: expected a file ending in .html or .md.")
    if report.exists() and not options.overwrite:
        raise ScsystemsError(
            f"--report {report} exists already. Give another name, or --overwrite to replace it."
        )
    if not report.absolute().parent.is_dir():
        raise ScsystemsError(f"--report {report}: there is no such folder. Make it first.")
    check_writable(report.absolute().parent)


def write_report(model, options: argparse.Namespace) -> None:
    """Write the report if one is asked for; the results of the training are not lost where that fails."""
    from ..reports.integration import report

    if options.report is None:
        return
    try:
        report(
            model,
            options.report,
            label_key=options.report_labels,
            seed=options.seed,
        )
    except (ScsystemsError, OSError) as error:
        logger.warning("Warning: the report could not be written: %s", error)
    else:
        logger.info("The report is in %s", options.report)
