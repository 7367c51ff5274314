"""
The guest's half of the lab: reads a plan (lab.ts writes it), makes the network with Mininet, once for every
manager and case, and prints what was observed as one line of JSON a run. Nothing here knows an experiment.
"""
import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
import traceback

os.environ['SETUPTOOLS_USE_DISTUTILS'] = 'stdlib'  # what Mininet wants of distutils: setuptools has it too, ten times as large
sys.path.insert(0, '/usr/lib/python3/dist-packages')
from mininet.link import TCLink  # noqa: E402
from mininet.log import setLogLevel  # noqa: E402
from mininet.net import Mininet  # noqa: E402
from mininet.node import Node  # noqa: E402

# In virtual time the clock leaps whenever the guest waits for a file of the host. So all that runs while time
# counts is brought into RAM first, and nothing polls: a leap would make it poll a million times.
WORK = '/run/lab'
TOOLS = ['sh', 'ip', 'ss', 'tc', 'nft', 'nstat', 'ethtool', 'sysctl', 'mnexec', 'env', 'node']

# What all hosts have in common; each is skipped where the kernel does not know it.
SETTINGS = {
    'net.mptcp.enabled': '1',
    'net.mptcp.blackhole_timeout': '0',  # one lossy run must not turn MPTCP off for the next
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '0',
    'net.ipv4.tcp_no_metrics_save': '1',
}
COUNTERS = re.compile(r'^(MPTcpExt\S+|TcpRetransSegs|TcpExtTCPTimeouts)\s+(\d+)', re.M)


def progress(what):
    print(f'{time.monotonic():.3f} {what}', file=sys.stderr, flush=True)


class Process:
    """A program on a host, with what it has printed so far."""

    def __init__(self, host, command):
        self.text, self.changed, self.ended = '', threading.Condition(), False
        self.popen = host.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pidfd = os.pidfd_open(self.popen.pid)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        chunks = []
        while chunk := os.read(self.popen.stdout.fileno(), 1 << 16):
            chunks.append(chunk)
            if len(chunks) == 1 or b'\n' in chunk:
                with self.changed:
                    self.text += b''.join(chunks).decode()
                    chunks = []
                    self.changed.notify_all()
        with self.changed:
            self.text += b''.join(chunks).decode()
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, pattern):
        with self.changed:
            self.changed.wait_for(lambda: self.ended or re.search(pattern, self.text))
            found = re.search(pattern, self.text)
        if not found:
            raise RuntimeError(f'no "{pattern}" from {self.popen.args}:\n{self.text[-3000:]}')
        return found

    def exited(self, until):
        return bool(select.select([self.pidfd], [], [], max(0, until - time.monotonic()))[0])

    def stop(self):
        if not self.exited(0):
            self.popen.terminate()
            if not self.exited(time.monotonic() + 20):
                self.popen.kill()
        self.popen.wait()
        self.reader.join()
        os.close(self.pidfd)
        self.popen.stdout.close()


class Laboratory:
    """A network with one manager, for runs in which the same things go wrong."""

    def __init__(self, plan, group):
        self.plan, self.group, self.processes = plan, group, []
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(WORK)
        self.net = Mininet(controller=None, build=False)
        self.hosts = {name: self.net.addHost(name, cls=Node, ip=None) for name in plan['hosts']}
        self.net.build()
        self.links = {link['name']: self.connect(link) for link in plan['links']}
        manager = group['manager']
        for name in self.hosts:
            known = [f'{key}={value}' for key, value in SETTINGS.items()
                     if os.path.exists(f"/proc/sys/{key.replace('.', '/')}")]
            for command in [f"sysctl -qw {' '.join(known)}", *plan['hosts'][name], *manager.get(name, [])]:
                self.shell(name, command)
        self.daemon = None
        if 'daemon' in manager:
            self.daemon = Process(self.hosts['client'], ['env', *manager['daemon']])
            self.daemon.wait_for(manager['ready'])
        self.server_daemon = None
        if 'serverDaemon' in manager:
            self.server_daemon = Process(self.hosts['server'], ['env', *manager['serverDaemon']])
            self.server_daemon.wait_for(manager['ready'])
        progress(f"{manager['variant']} is ready")

    def connect(self, link):
        ends = [self.hosts[name] for name in link['ends']]
        shape = {}
        if 'bandwidth' in link:
            shape = dict(cls=TCLink, bw=link['bandwidth'], delay=f"{link['delay']}ms", max_queue_size=link['queue'])
        made = self.net.addLink(*ends, **shape)
        for end, address in zip((made.intf1, made.intf2), link['addresses']):
            end.setIP(address, 24)
            # Loss is per packet of the wire, not per bundle of them.
            end.node.cmd(f'ethtool -K {end.name} tso off gso off gro off')
        return made, link

    def fault(self, fault):
        if 'command' in fault:
            self.shell(fault['host'], fault['command'])
            return
        made, link = self.links[fault['link']]
        for end in (made.intf1, made.intf2):
            # Mininet hangs netem as 10: under the class 5:1 of its HTB.
            self.shell(end.node.name, f"tc qdisc change dev {end.name} parent 5:1 handle 10: netem "
                                      f"delay {link['delay']}ms loss {fault['loss']}% limit {link['queue']}")

    def shell(self, host, command):
        finished = self.hosts[host].popen(['sh', '-c', command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = finished.communicate()[0].decode()
        if finished.returncode:
            raise RuntimeError(f'{host}: {command}: exit {finished.returncode}: {said}')
        return said

    def start(self, host, command):
        process = Process(self.hosts[host], command)
        self.processes.append(process)
        return process

    def observe(self):
        recorder = tracer = None
        said = len(self.daemon.text) if self.daemon else 0
        if self.plan['record'] and 'recorder' in self.group['manager']:
            recorder = self.start('client', self.group['manager']['recorder'])
            recorder.wait_for('start')
        server = self.start('server', self.plan['server'])
        server.wait_for('ready')
        if self.plan['trace']:
            tracer = self.start('client', [self.plan['tracer'], f'{WORK}/trace', *self.plan['trace']])
            tracer.wait_for('ready')
        before = {name: self.shell(name, 'nstat -az') for name in ('client', 'server')}
        client = self.start('client', self.group['client'])
        start = float(client.wait_for(r'connected (\S+)')[1])
        progress('connected')
        done = self.follow_timeline(start, client)
        end = time.monotonic()
        progress('traffic has ended')
        counters = {name: self.counters(name, before[name]) for name in before}
        self.clear()
        return {
            'start': start, 'end': end, 'finished': done, 'counters': counters,
            'server': server.text.splitlines(), 'client': client.text.splitlines(),
            'daemon': self.daemon.text[said:] if self.daemon else '', 'recording': recorder.text if recorder else '',
            'trace': open(f'{WORK}/trace').read() if tracer else '',
        }

    def follow_timeline(self, start, client):
        """Lets things go wrong when they should; true when the traffic ended before the limit."""
        for fault in sorted(self.group['faults'], key=lambda fault: fault['at']):
            if client.exited(start + fault['at']):
                return True
            self.fault(fault)
        return client.exited(start + self.plan['limit'])

    def counters(self, host, before):
        old = dict(COUNTERS.findall(before))
        new = COUNTERS.findall(self.shell(host, 'nstat -az'))
        return {name: int(value) - int(old.get(name, 0)) for name, value in new if value != old.get(name, '0')}

    def clear(self):
        """Leaves nothing to the next run: no program, no connection, no loss."""
        while self.processes:
            self.processes.pop().stop()
        for host in ('client', 'server'):
            self.shell(host, 'ss -KH sport = :5000 or dport = :5000')
        for link in {fault['link'] for fault in self.group['faults'] if 'link' in fault}:
            self.fault({'link': link, 'loss': 0})
        time.sleep(2)

    def close(self):
        self.clear()
        for daemon in filter(None, [self.daemon, self.server_daemon]):
            daemon.stop()
        self.net.stop()


def bring_into_ram(tools):
    """Copies tools of the host, and the libraries that they need, into the overlay's upper layer."""
    paths = list(filter(None, map(shutil.which, tools)))
    libraries = subprocess.run(['ldd', *paths], capture_output=True, text=True).stdout
    for file in {os.path.realpath(path) for path in [*paths, *re.findall(r'(/\S+) \(0x', libraries)]}:
        if os.path.isfile(file):
            os.utime(file)  # any change of a file makes the overlay copy it


def main():
    setLogLevel('error')
    plan = json.load(open(sys.argv[1]))
    os.makedirs(plan['programs']['to'])
    subprocess.check_call(['tar', '--touch', '-xf', plan['programs']['from'], '-C', plan['programs']['to']])
    bring_into_ram(TOOLS)
    progress('all is in RAM')
    for module in ('sch_netem', 'sch_htb', 'nf_conntrack', 'nft_masq'):
        subprocess.call(['modprobe', module])
    for group in plan['groups']:
        laboratory = Laboratory(plan, group)
        for number in group['runs']:
            try:
                result = laboratory.observe()
            except Exception:  # one run that could not be made is no reason to lose the others
                result = {'error': traceback.format_exc()}
                laboratory.clear()
            print(json.dumps({'run': number, **result}), flush=True)
        laboratory.close()


main()
