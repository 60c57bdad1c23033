"""What all tests share."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import wgpu_loss

# A kernel that is compiled in the first example of its kind takes a part of a second.
settings.register_profile("ours", deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
settings.load_profile("ours")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take a minute or more, too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="slow: run with --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """The GPU of all tests. Without one they fail, unless the environment says that this machine has none."""
    if os.environ.get("WGPU_LOSS_TEST_DEVICE") == "cpu":
        wgpu_loss.set_default_device("cpu")
        return None
    gpu = wgpu_loss.Gpu()
    wgpu_loss.set_default_device(gpu)
    return gpu


@pytest.fixture
def rng():
    return np.random.default_rng(20261129)
