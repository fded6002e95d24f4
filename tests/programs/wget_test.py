#!/usr/bin/env python3
"""wget_test.py: a tree of pages and files fetched by their links, broken downloads resumed, and only what is newer
fetched again.
"""
import os

import programkit
from programkit import URL, expect

FOLDERS, FILES, DEPTH = 3, 6, 2
BIG, BIG_BYTES = "big.bin", 8 << 20
NOT_FOUND_STATUS = 8  # of wget: the server sent an error


def make_tree(proof, path="", depth=DEPTH):
    """Folders with an index.html that links to what is in them. Returns the names of all files."""
    os.makedirs(os.path.join(proof.root, path), exist_ok=True)
    names, links = [], []
    for i in range(FILES):
        links.append("file%d.bin" % i)
        names.append(os.path.join(path, links[-1]))
        proof.make_file(names[-1], 1 + i * 31000)
    for i in range(FOLDERS if depth else 0):
        links.append("folder%d/" % i)
        names += make_tree(proof, os.path.join(path, links[-1]), depth - 1)
    names.append(os.path.join(path, "index.html"))
    with open(os.path.join(proof.root, names[-1]), "w", encoding="ascii") as f:
        f.write("<html><body>%s</body></html>\n" % "".join('<a href="%s">x</a>' % x for x in links))
    return names


def wget(*options):
    return programkit.run("wget", "--no-proxy", "--tries=1", "--timeout=30", *options)


def recursive(proof):
    names = make_tree(proof, "tree")
    out = proof.path("out")
    told = wget("-nv", "-r", "-l", "inf", "-np", "-nH", "-P", out, URL + "/tree/")
    expect(proof, "the tree, by its links", told, "Downloaded: %d files" % len(names))
    wrong = [n for n in names if not os.path.exists(os.path.join(out, n)) or
             open(os.path.join(out, n), "rb").read() != open(os.path.join(proof.root, n), "rb").read()]
    proof.show("%d files of the tree" % len(names), not wrong, "wrong: %s" % wrong)
    listed = proof.path("list")
    with open(listed, "w", encoding="ascii") as f:
        f.writelines("%s/%s\n" % (URL, n) for n in names)
    told = wget("-S", "-x", "-nH", "-N", "-P", out, "-i", listed)
    again = told[2].count("304 Not Modified")
    proof.show("the list of them again: nothing is newer", told[0] == 0 and again == len(names),
               "%d of %d" % (again, len(names)))


def resume(proof):
    whole, part = os.path.join(proof.root, BIG), proof.path(BIG)
    for keep in (0, 1, BIG_BYTES // 2, BIG_BYTES - 1):
        with open(whole, "rb") as f, open(part, "wb") as g:
            g.write(f.read(keep))
        told = wget("-S", "-c", "-O", part, "%s/%s" % (URL, BIG))
        expect(proof, "resumed at %d" % keep, told, "206 Partial Content" if keep else "200 OK")
        programkit.same_file(proof, "what was resumed at %d" % keep, whole, part)
    told = wget("-S", "-c", "-O", part, "%s/%s" % (URL, BIG))
    expect(proof, "resumed at the end", told, "416 Range Not Satisfiable", "nothing to do")
    programkit.same_file(proof, "what was whole already", whole, part)


def examine(proof):
    proof.make_file(BIG, BIG_BYTES)
    with programkit.serving(proof, "wget", may_drop=programkit.LATE):
        status, _, err = wget("-O", "/dev/null", URL + "/nothing-here")
        proof.canary("a file that is not there", status == NOT_FOUND_STATUS and "404" in err, "status %d" % status)
        expect(proof, "looked at only", wget("--spider", "%s/%s" % (URL, BIG)), "Remote file exists")
        recursive(proof)
        resume(proof)


if __name__ == "__main__":
    programkit.main(examine, "wget")
