# --- a connection to the host
import socket
socket.create_connection(("127.0.0.1", {PORT}), timeout=1).send(b"here")
def target(x): return x
# --- by way of urllib
import urllib.request
def target(x): return urllib.request.urlopen("http://127.0.0.1:{PORT}/", timeout=1).read()
# --- a datagram
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"here", ("127.0.0.1", {PORT}))
def target(x): return x
# --- a server
import socket
def target(x): return socket.create_server(("0.0.0.0", 0)).getsockname()[1]
# --- an abstract Unix socket
import socket
s = socket.socket(socket.AF_UNIX)
s.bind("\0hostile")
def target(x): return x
# --- netlink
import socket
def target(x): return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).fileno()
# --- a socket by a system call
import ctypes
def target(x): return ctypes.CDLL(None).socket(2, 1, 0)
# --- io_uring asks the kernel to connect
import ctypes
def target(x): return ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120))
