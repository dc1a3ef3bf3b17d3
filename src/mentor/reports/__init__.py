"""The report of a campaign: one self-contained page."""

from mentor.reports.page import Report, ReportSettings, report

__all__ = ["Report", "ReportSettings", "report"]
