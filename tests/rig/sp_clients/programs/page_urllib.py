"""Asks for one page with Python's urllib: page_urllib.py PROXY URL."""
import sys
import urllib.request

proxy, url = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
with opener.open(url, timeout=30) as answer:
    sys.stdout.buffer.write(answer.read())
