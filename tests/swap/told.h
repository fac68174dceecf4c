// tests/swap/told.h
//
// What a server tells of all that it keeps, as one text, the same for etcd and Keelson when they
// keep the same: keys with their revisions, hashes, leases with their keys, users, roles, alarms,
// members. Asked by etcd's own client.
//
// Threads: one caller.

#pragma once

#include <functional>
#include <set>
#include <sstream>
#include <string>

#include "base/test_etcd.h"
#include "base/text.h"
#include "tests/harness/server.h"

namespace keelson::swap {

// Runs etcdctl with these arguments; what it says.
using Ctl = std::function<std::string(const std::string&)>;

inline Ctl ctl_of(const std::string& address, const std::string& user = "") {
  const std::string command =
      cat("ETCDCTL_API=3 ", etcd_directory(),
          "/etcdctl --dial-timeout=60s --command-timeout=60s --endpoints=", address,
          user.empty() ? "" : cat(" --user=", user), " ");
  return [command](const std::string& arguments) { return output_of(command + arguments); };
}
inline Ctl ctl_of(const harness::Server& server, const std::string& user = "") {
  return ctl_of(server.address(), user);
}
inline Ctl ctl_of(const TestEtcd& etcd, const std::string& user = "") {
  return ctl_of(etcd.address(), user);
}

inline std::string each_of(const Ctl& ctl, const std::string& list, const std::string& about) {
  std::istringstream names(ctl(list));
  std::string text;
  for (std::string name; std::getline(names, name);) {
    const bool differs = name == "root" && about == "role get";
    text += differs ? "root\n" : ctl(cat(about, " ", name));
  }
  return text;
}

// Of "… attached keys([c a b])" the keys in order: etcd has none.
inline std::string with_sorted_keys(const std::string& line) {
  const size_t begin = line.find("keys(["), end = line.rfind("])");
  if (begin == std::string::npos || end == std::string::npos) return line;
  std::istringstream in(line.substr(begin + 6, end - begin - 6));
  std::set<std::string> keys;
  for (std::string key; in >> key;) keys.insert(key);
  std::string sorted;
  for (const std::string& key : keys) sorted += key + " ";
  return cat(line.substr(0, begin + 6), sorted, line.substr(end));
}

// But for the members' addresses, which a test changes, how long leases will live yet, and what the
// role root may do, of which etcd says nothing before 3.6.
inline std::string told_by(const Ctl& ctl) {
  std::istringstream leases(ctl("lease list"));
  std::string of_leases;
  for (std::string line; std::getline(leases, line);) {
    if (line.size() != 16) continue;  // the headline
    of_leases += with_sorted_keys(ctl(
        cat("lease timetolive --keys ", line, " | sed -E 's/remaining\\([0-9]+s\\)/remaining/'")));
  }
  return cat("keys ", ctl("get '' --from-key -w json | sed 's/.*\"kvs\"//'"),  //
             "hash ", ctl("endpoint hashkv -w json | sed 's/.*\"hash\"//;s/}.*//'"), "leases ",
             of_leases,  //
             "users ", each_of(ctl, "user list", "user get"), "roles ",
             each_of(ctl, "role list", "role get"), "auth ", ctl("auth status | head -1"),  //
             "alarms ", ctl("alarm list"), "members ", ctl("member list | cut -d, -f1-3,6 | sort"));
}

// Every file below a directory, with its sum.
inline std::string sums(const std::string& directory) {
  return output_of(cat("cd ", directory, " && find . -type f | sort | xargs sha256sum"));
}

}  // namespace keelson::swap
