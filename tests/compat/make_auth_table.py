#!/usr/bin/env python3
"""Writes a script for compat_runner: every operation that touches keys, asked by users with every sort of
permission. What is right, etcd says: the runner compares.

make_auth_table.py OUT.txt
"""

import random
import sys

# name -> permissions (type, key, range end) of the user's roles, one role each
USERS = {
    "nothing": [],
    "read_key": [("READ", "k", "")],
    "write_key": [("WRITE", "k", "")],
    "both_key": [("READ", "k", ""), ("WRITE", "k", "")],
    "rw_key": [("READWRITE", "k", "")],
    "read_range": [("READ", "b", "m")],
    "write_range": [("WRITE", "b", "m")],
    "rw_range": [("READWRITE", "b", "m")],
    "rw_prefix": [("READWRITE", "k", "l")],
    "rw_meeting": [("READWRITE", "b", "h"), ("READWRITE", "h", "m")],
    "rw_gap": [("READWRITE", "b", "h"), ("READWRITE", "i", "m")],
    "rw_overlap": [("READWRITE", "b", "j"), ("READWRITE", "f", "m")],
    "rw_from": [("READWRITE", "k", "\\000")],
    "rw_all": [("READWRITE", "\\000", "\\000")],
    "read_all": [("READ", "\\000", "\\000")],
    "write_all": [("WRITE", "\\000", "\\000")],
    "read_all_write_key": [("READ", "\\000", "\\000"), ("WRITE", "k", "")],
    "write_all_read_key": [("WRITE", "\\000", "\\000"), ("READ", "k", "")],
    "rw_points": [("READWRITE", "k", ""), ("READWRITE", "k\\000", "k1")],
    "admin": "root",
}

RANGES = ['key:"k"', 'key:"k" range_end:"l"', 'key:"b" range_end:"m"', 'key:"c" range_end:"g"',
          'key:"a" range_end:"m"', 'key:"k" range_end:"\\000"', 'key:"\\000" range_end:"\\000"',
          'key:"g" range_end:"j"', 'key:"k" range_end:"k\\000"', 'key:"l"', 'key:"k" range_end:"k1"',
          'key:"k" range_end:"b"', 'key:"k" range_end:"\\000\\000"', 'key:"m" range_end:"m"']

# Users with many grants, by whose order etcd permits ranges that end before they begin.
CHOICE = random.Random(1)
TREES = 6


def text():
    return "".join(CHOICE.choice("bcd") for _ in range(CHOICE.randint(1, 3)))


def tree_grants():
    grants = []
    for _ in range(CHOICE.randint(3, 24)):
        kind = CHOICE.choice(["READ", "WRITE", "READWRITE", "READWRITE"])
        key, end = sorted([text(), text()])
        end = CHOICE.choice([end, end, end, "", "\\000"])
        grants.append((kind, key, end if end != key else ""))
    return grants


def inverted_operations():
    for _ in range(40):
        end, key = sorted([text(), text()])
        keys = f'key:"{key}" range_end:"{end}"'
        yield f"KV/Range {keys}"
        yield f"KV/DeleteRange {keys}"
        yield f'KV/Txn success {{ request_range {{ {keys} }} }} success {{ request_delete_range {{ {keys} }} }}'


TREE_USERS = {f"tree_{i}": tree_grants() for i in range(TREES)}


def operations():
    for keys in RANGES:
        yield f"KV/Range {keys}"
        yield f"KV/Range {keys} serializable:true count_only:true"
        yield f"KV/DeleteRange {keys}"
        yield f"KV/DeleteRange {keys} prev_kv:true"
        yield f"KV/Txn success {{ request_range {{ {keys} }} }}"
        yield f"KV/Txn compare {{ {keys} target:VERSION result:GREATER }}"
    for put in ['key:"k"', 'key:"l"', 'key:"k" prev_kv:true', 'key:"k" lease:77',
                'key:"k" lease:78', 'key:"k" lease:79', 'key:"k" ignore_lease:true value:"x"']:
        yield f"KV/Put {put}"
        for branch in ("success", "failure"):
            yield f"KV/Txn {branch} {{ request_put {{ {put} }} }}"
    nested = [
        'request_put { key:"k" value:"n" }', 'request_put { key:"k" prev_kv:true }',
        'request_put { key:"k" lease:78 }', 'request_range { key:"k" }',
        'request_range { key:"k" range_end:"l" }', 'request_delete_range { key:"k" }',
        'request_delete_range { key:"k" prev_kv:true }',
    ]
    for op in nested:
        # In the branch that is taken, in the other, and two levels down; with reads beside it.
        yield f"KV/Txn success {{ request_txn {{ success {{ {op} }} }} }}"
        yield f"KV/Txn failure {{ request_txn {{ failure {{ {op} }} }} }}"
        yield f"KV/Txn success {{ request_txn {{ failure {{ request_txn {{ success {{ {op} }} }} }} }} }}"
        yield f'KV/Txn success {{ request_range {{ key:"k" }} }} success {{ request_txn {{ failure {{ {op} }} }} }}'
    yield 'KV/Txn success { request_txn { compare { key:"k" range_end:"l" target:VERSION } } }'
    yield 'KV/Txn'
    yield 'Lease/LeaseTimeToLive ID:77'
    for lease in (77, 78, 79, 999):
        yield f"Lease/LeaseTimeToLive ID:{lease} keys:true"
    yield "Lease/LeaseLeases"
    yield "Lease/LeaseRevoke ID:999"
    yield "Lease/LeaseRevoke ID:78"
    yield "Cluster/MemberList"
    yield "Cluster/MemberList linearizable:true"
    yield "Maintenance/Status"
    yield "Maintenance/Alarm"
    yield "Maintenance/Alarm action:DEACTIVATE alarm:NOSPACE"
    yield "Maintenance/Hash"
    yield "Maintenance/HashKV"
    yield "Maintenance/Defragment"
    yield "Maintenance/MoveLeader targetID:1"
    yield "KV/Compact revision:1"
    yield "KV/Compact revision:1 physical:true"


# Who may read the key k and not all keys from it on: 3.5 lets them watch those (GHSA-xg4h-6gfc-h4m8).
READ_K_ALONE = {"read_key", "both_key", "rw_key", "read_range", "rw_range", "rw_prefix", "rw_meeting",
                "rw_gap", "rw_overlap", "write_all_read_key", "rw_points"}


def streams(user, token):
    result = []
    for keys in RANGES + ["", 'range_end:"\\000"', 'key:"k" start_revision:-1']:
        if user in READ_K_ALONE and keys == 'key:"k" range_end:"\\000"':
            continue  # in auth_watch.txt
        opened = f"stream[{token}] w Watch/Watch" if token else "stream w Watch/Watch"
        result += [opened, f"send w create_request {{ {keys} }}", "recv w", "cancel w"]
    for lease in (77, 78, 79, 999):
        opened = f"stream[{token}] k Lease/LeaseKeepAlive" if token else "stream k Lease/LeaseKeepAlive"
        result += [opened, f"send k ID:{lease}", "half k", "finish k"]
    return result


def differing(user, operation):
    """What 3.5 says in words of its own."""
    method = operation.split()[0]
    if method not in ("Maintenance/Hash", "Maintenance/HashKV", "Maintenance/Defragment"):
        return []
    if user == "admin":
        return []
    answer = ("PermissionDenied: etcdserver: permission denied" if user else
              "InvalidArgument: etcdserver: user name is empty")
    return ["  differs these have no code of etcd's in 3.5", f"  subject {answer}"]


# Lease 77 has no keys, 78 one that few may write, 79 the key k.
SETUP = """call Lease/LeaseGrant ID:77 TTL:6000
call Lease/LeaseGrant ID:78 TTL:6000
call Lease/LeaseGrant ID:79 TTL:6000
call KV/Put key:"l" value:"1" lease:78
call KV/Put key:"k" value:"1" lease:79
call KV/Put key:"c" value:"1"
call Auth/UserAdd name:"root" password:"r"
call Auth/UserGrantRole user:"root" role:"root"
"""

# What operations changed is as before, for the next user.
AGAIN = """call[meta:token=${root}] KV/Put key:"c" value:"1"
call[meta:token=${root}] KV/Put key:"k" value:"1"
call[meta:token=${root}] KV/Put key:"l" value:"1"
call[code meta:token=${root}] Lease/LeaseRevoke ID:77
call[code meta:token=${root}] Lease/LeaseRevoke ID:78
call[code meta:token=${root}] Lease/LeaseRevoke ID:79
call[meta:token=${root}] Lease/LeaseGrant ID:77 TTL:6000
call[meta:token=${root}] Lease/LeaseGrant ID:78 TTL:6000
call[meta:token=${root}] Lease/LeaseGrant ID:79 TTL:6000
call[meta:token=${root}] KV/Put key:"l" value:"1" lease:78
call[meta:token=${root}] KV/Put key:"k" value:"1" lease:79
call[meta:token=${root}] KV/Put key:"c" value:"1"
"""


def main():
    out = ["# Written by make_auth_table.py.", "flags --bcrypt-cost=4"] + SETUP.splitlines()
    for user, grants in (USERS | TREE_USERS).items():
        out.append(f'call Auth/UserAdd name:"{user}" password:"p"')
        if grants == "root":
            out.append(f'call Auth/UserGrantRole user:"{user}" role:"root"')
            continue
        for i, (kind, key, end) in enumerate(grants):
            role = f"{user}_{i}"
            out.append(f'call Auth/RoleAdd name:"{role}"')
            range_end = f' range_end:"{end}"' if end else ""
            out.append(f'call Auth/RoleGrantPermission name:"{role}" perm '
                       f'{{ permType:{kind} key:"{key}"{range_end} }}')
            out.append(f'call Auth/UserGrantRole user:"{user}" role:"{role}"')
    out += ["call Auth/AuthEnable", 'call Auth/Authenticate name:"root" password:"r"',
            "let root = token"]
    for user in [None, *USERS]:
        token = ""
        if user:
            out += [f"# {user}", f'call Auth/Authenticate name:"{user}" password:"p"', "let t = token"]
            token = "meta:token=${t}"
        out += streams(user, token)
        for operation in operations():
            if operation == "Maintenance/Status" and user:
                continue  # for administrators in 3.5; in auth_users.txt
            out.append(f"call[{token}] {operation}" if token else f"call {operation}")
            out += differing(user, operation)
        out += AGAIN.splitlines()
    for user in TREE_USERS:
        out += [f"# {user}", f'call Auth/Authenticate name:"{user}" password:"p"', "let t = token"]
        out += [f"call[meta:token=${{t}}] {operation}" for operation in inverted_operations()]
    out.append('call[meta:token=${root}] Maintenance/HashKV')
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
