"""Asks for one page with libsoup: page_soup.py PROXY URL CA [USER PASSWORD]. Without a name it may use a ticket."""
import sys

import gi
gi.require_version("Soup", "3.0")
from gi.repository import Gio, Soup                        # noqa: E402

proxy, url, ca, *who = sys.argv[1:]
session = Soup.Session()
session.set_proxy_resolver(Gio.SimpleProxyResolver.new(proxy, []))
session.set_tls_database(Gio.TlsFileDatabase.new(ca))
session.set_timeout(30)
message = Soup.Message.new("GET", url)


def on_authenticate(_, auth, retrying):
    if who and not retrying:
        auth.authenticate(*who)
        return True
    return False


if who:
    session.remove_feature_by_type(Soup.AuthNegotiate)
else:
    session.add_feature_by_type(Soup.AuthNegotiate)
message.connect("authenticate", on_authenticate)
body = session.send_and_read(message, None).get_data()
if message.get_status() != Soup.Status.OK:
    sys.exit("status %d" % message.get_status())
sys.stdout.buffer.write(body)
