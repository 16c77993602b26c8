"""The rig: a real OpenLDAP pair, a real MIT KDC, real origins and sallyport itself, for tests and for the demo.

Nothing here touches the machine's own configuration: every server has its own configuration, database and sockets
in one temporary directory, and is stopped with the rig.
"""
