"""Settings of every server of the stack."""
c = get_config()  # noqa: F821: Jupyter defines it

c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 8888
c.ServerApp.open_browser = False
# Delete files at once: a trash folder in the home fills the user's quota.
c.FileContentsManager.delete_to_trash = False
