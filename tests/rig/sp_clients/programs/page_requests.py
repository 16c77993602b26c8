"""Asks for one page with Python's requests: page_requests.py PROXY URL."""
import sys

import requests

proxy, url = sys.argv[1:]
answer = requests.get(url, proxies={"http": proxy, "https": proxy}, timeout=30)
answer.raise_for_status()
sys.stdout.buffer.write(answer.content)
