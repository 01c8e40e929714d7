import importlib.util
import os
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
sys.path.append(sys.argv.pop(1))
running = sys.argv.pop(1)
try:
    import pytest
except ImportError as error:
    sys.exit(f"laminate: pytest cannot be imported: {error}")


class Report:
    def pytest_configure(self, config):
        # By default, the whole function around the last frame is shown. Of a library, it is longer than all the rest.
        if getattr(config.option, "tbstyle", None) == "auto":
            config.option.tbstyle = "short"

    def pytest_runtest_logstart(self, nodeid):
        self.note(nodeid)

    def pytest_runtest_logfinish(self):
        self.note("")

    def note(self, nodeid):
        # A test that does not end has no report.
        try:
            with open(running, "w", encoding="utf-8", errors="replace") as file:
                file.write(nodeid)
        except OSError:
            pass


spec = importlib.util.spec_from_file_location("laminate_entrypoint", os.path.join(here, "entrypoint.py"))
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)
sys.exit(pytest.main(sys.argv[1:], plugins=[plugin, Report()]))
