"""What every server of the stack has in common."""
c = get_config()  # noqa: F821: Jupyter brings it

c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 8888
c.ServerApp.open_browser = False
# A file that is removed is gone: a trash in the home fills the user's quota.
c.FileContentsManager.delete_to_trash = False
