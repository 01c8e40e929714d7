import importlib.util
import os
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
sys.path.append(sys.argv.pop(1))
try:
    import pytest
except ImportError as error:
    sys.exit(f"laminate: pytest cannot be imported: {error}")
spec = importlib.util.spec_from_file_location("laminate_entrypoint", os.path.join(here, "entrypoint.py"))
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)
sys.exit(pytest.main(sys.argv[1:], plugins=[plugin]))
