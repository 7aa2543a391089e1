"""Trained models at work: live sessions and exported programs, without Lightning."""

from rnnkit.deploy.bank import SessionBank
from rnnkit.deploy.export import Report, export
from rnnkit.deploy.session import Session

__all__ = ["Report", "Session", "SessionBank", "export"]
