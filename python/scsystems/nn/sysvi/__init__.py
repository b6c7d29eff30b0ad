"""SysVI: the network, its parts, and beside each part its hand-written gradients, tested equal to the readable ones."""
