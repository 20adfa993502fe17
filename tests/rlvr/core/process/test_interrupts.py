"""A signal during a step waits for its end, and nowhere is one lost."""

from __future__ import annotations

import os
import signal

import pytest

from rlvr.core.process.interrupts import Interrupted, StopSignal


def kill(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def test_outside_a_step_it_stops_at_once_and_within_it_is_noted() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal().listening() as stop, pytest.raises(Interrupted):
        kill()
    with StopSignal().listening() as stop, stop.finishing():
        assert not stop.received
        kill()
        assert stop.received
        with pytest.raises(Interrupted), stop.at_once():
            pytest.fail("the block must not begin")
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_signal_is_answered_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with StopSignal().listening() as stop, stop.finishing(lambda: "finishing step 13"):
        kill()
        assert capfd.readouterr().err == "\nfinishing step 13\n"
        kill()
    assert capfd.readouterr().err == ""


def test_hooks_within_the_loop_can_be_interrupted() -> None:
    with StopSignal().listening() as stop, stop.finishing():
        with pytest.raises(Interrupted), stop.at_once():
            kill()
        kill()  # noted again


def test_a_second_interrupt_ends_a_step() -> None:
    with StopSignal().listening() as stop, stop.finishing():
        kill(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            kill(signal.SIGINT)
