#!/usr/bin/env python3
"""Reads an Atom feed with programs that are not ours, and prints what they saw as JSON.

usage: read.py FEED.xml

libxml2 (lxml) holds it against the schema beside this script; feedparser, which many readers are
built on, tells titles, ids, links, days, authors, categories and the content, cleaned of what acts.
"""
import json
import pathlib
import sys

import feedparser
from lxml import etree


def main(path):
    schema = etree.RelaxNG(etree.parse(str(pathlib.Path(__file__).with_name("atom.rng"))))
    schema.assertValid(etree.parse(path))
    feed = feedparser.parse(path)
    if feed.bozo:
        sys.exit(f"not well-formed: {feed.bozo_exception}")
    entries = [
        {
            "id": entry.id,
            "title": entry.title,
            "link": entry.get("link"),
            "updated": entry.updated,
            "authors": [author.get("name") for author in entry.get("authors", [])],
            "categories": [tag.term for tag in entry.get("tags", [])],
            "summary": entry.summary,
            "type": entry.content[0].type,
            "content": entry.content[0].value,
        }
        for entry in feed.entries
    ]
    head = {key: feed.feed[key] for key in ("id", "title", "updated", "link", "links")}
    print(json.dumps({"version": feed.version, "feed": head, "entries": entries}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
