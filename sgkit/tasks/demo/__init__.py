"""The demo: every command with the packaged model, one after another, and a page that shows what they made.

Each step is a command line, which is run as it is printed; so the commands on the page make what it shows.
"""

from sgkit.tasks.demo.running import DemoResult, run_demo
from sgkit.tasks.demo.steps import DemoScale

__all__ = ["DemoResult", "DemoScale", "run_demo"]
