"""What is attached between checks, so that the next need not start anew."""

import inside
from machine import attach, detach_all, ports_in_use, servers_used


class Desk:
    """The keys that are there, of servers on the host or in this guest."""

    def __init__(self):
        self.keys = []

    def set_out(self, names):
        """Makes exactly these keys attached, and returns them in this order."""
        servers = {name.split("/")[0] for name in names}
        servers_used.update(servers - inside.SERVERS.keys())
        inside.end_servers(but=servers)
        wanted = [key for key in self.keys if key.name in names and key.is_alive()]
        if sum(key.takes_port for key in wanted) != len(ports_in_use()):
            self.clear()
            wanted = []
        present = {key.name: key for key in wanted}
        self.keys = [present.get(name) or self._plugged_in(name) for name in names]
        return list(self.keys)

    def clear(self):
        """Leaves nothing attached: after a failure, and for who attaches itself."""
        self.keys = []
        inside.end_servers()
        detach_all()

    @staticmethod
    def _plugged_in(name):
        is_here = name.split("/")[0] in inside.SERVERS
        return inside.key(name) if is_here else attach(name)
