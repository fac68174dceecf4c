// odd_fields_test: requests with unknown fields in every form, with fields of types that they do
// not have, and with names that are no UTF-8, through the doors of etcd 3.5 and of Keelson, in one
// cluster: every member lives, all hold the same, and each starts again. Skipped without an etcd.

#include <iostream>
#include <string>
#include <vector>

#include "base/protobuf.h"
#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"
#include "wire/test_odd_fields.h"

namespace keelson::cluster {
namespace {

struct Sent {
  std::string path;
  std::string body;
  bool must_be_done = false;
};

std::string bytes_field(uint32_t number, std::string_view bytes) {
  std::string out;
  pb::append_bytes_field(out, number, bytes);
  return out;
}

// A request of each sort with `more` at its end, and in the messages within it.
std::vector<Sent> with(const std::string& more) {
  const std::string put = bytes_field(1, "k") + bytes_field(2, "v") + more;
  const std::string name = bytes_field(1, "n") + more;
  const std::string nested = bytes_field(2, bytes_field(2, put) + more) + more;
  return {
      {"KV/Put", put},
      {"KV/Txn", nested},
      {"KV/Txn", bytes_field(3, bytes_field(4, nested) + more) + bytes_field(1, name)},
      {"KV/DeleteRange", bytes_field(1, "k") + more},
      {"KV/Compact", wire::varint_text(1 << 3) + "\1" + more},
      {"Lease/LeaseGrant", wire::varint_text(1 << 3) + "\x64" + more},
      {"Lease/LeaseRevoke", wire::varint_text(1 << 3) + "\x64" + more},
      {"Maintenance/Alarm", more},
      {"Auth/AuthDisable", more},
      {"Auth/UserAdd", name + bytes_field(2, "p") + bytes_field(3, more)},
      {"Auth/UserGet", name},
      {"Auth/UserList", more},
      {"Auth/RoleAdd", name},
      {"Auth/RoleGrantPermission", name + bytes_field(2, bytes_field(2, "k") + more)},
      {"Auth/UserGrantRole", name + bytes_field(2, "n")},
      {"Auth/RoleRevokePermission", name + bytes_field(2, "k")},
      {"Auth/UserRevokeRole", name + bytes_field(2, "n")},
      {"Auth/RoleDelete", name},
      {"Auth/UserChangePassword", name + bytes_field(2, "q")},
      {"Auth/UserDelete", name},
  };
}

// Known fields of another type than they have, and a oneof given twice: libprotobuf and 3.7 take
// these, and gogo reads something else or nothing in them.
std::vector<Sent> other_types() {
  const std::string put = bytes_field(1, "o") + bytes_field(2, "v");
  const std::string twice = bytes_field(2, put) + bytes_field(2, bytes_field(2, "w"));
  const std::string number = wire::varint_text(1 << 3) + "\5";
  return {
      {"KV/Put", put + bytes_field(3, "abc"), true},
      {"KV/Put", put + number, true},
      {"KV/Txn", bytes_field(2, bytes_field(2, put + bytes_field(3, "abc"))), true},
      {"KV/Txn", bytes_field(2, twice), true},
      {"KV/DeleteRange", bytes_field(1, "o") + number, true},
      {"Auth/UserAdd", bytes_field(1, "o") + bytes_field(2, "p") + number, true},
      {"Auth/RoleAdd", bytes_field(1, "o") + number, true},
      {"Lease/LeaseGrant", number + bytes_field(2, "abc"), true},
  };
}

std::vector<Sent> no_utf8() {
  const std::string name = bytes_field(1, "n\xff"), second = bytes_field(2, "n\xff");
  return {{"Auth/UserGet", name},
          {"Auth/UserAdd", name + bytes_field(2, "p")},
          {"Auth/RoleAdd", name},
          {"Auth/UserGrantRole", name + second},
          {"Auth/RoleGrantPermission", name + bytes_field(2, bytes_field(2, "k"))},
          {"Auth/UserGet", name},
          {"Auth/RoleGet", name}};
}

void send(Cluster& cluster, int i, const std::vector<Sent>& requests, const std::string& what) {
  for (const Sent& sent : requests) {
    const harness::Reply reply =
        cluster.at(i).client().unary("/etcdserverpb." + sent.path, sent.body);
    if (sent.must_be_done) {
      cluster.check(reply.status, cat(sent.path, " with ", what, " at ", cluster.at(i).name()));
    }
  }
  for (int member = 0; member < cluster.size(); ++member) {
    cluster.check(!cluster.at(member).exited(), cat(cluster.at(member).name(), " lives after ",
                                                    what, " at ", cluster.at(i).name()));
    cluster.check(cluster.put(member, cat(what, "/", i, "/", member), "v"),
                  cat("put after ", what));
  }
  cluster.expect_equal();
}

// In the words of whoever has it, but the same.
void expect_same_lists(Cluster& cluster) {
  for (const std::string path : {"Auth/UserList", "Auth/RoleList"}) {
    std::string first;
    for (int i = 0; i < cluster.size(); ++i) {
      const harness::Reply reply = cluster.at(i).client().unary("/etcdserverpb." + path, "");
      cluster.check(reply.status, cat(path, " at ", cluster.at(i).name()));
      std::string list;
      pb::Reader reader(reply.body);
      for (pb::Field field; reader.next(&field);) {
        if (field.is(2, pb::kBytes)) list += cat(field.bytes, ",");
      }
      if (i == 0) first = list;
      cluster.check(list == first, cat(path, " at ", cluster.at(i).name(), ": ", list));
      cluster.check(list.find("n\xff,") != std::string::npos, cat(path, " has what was added"));
    }
  }
}

int run(const std::string& keelson, const std::string& etcd) {
  const std::vector<std::string> flags = {"--bcrypt-cost=4"};
  const Program ours(keelson, flags), theirs(etcd, flags);
  Cluster cluster({ours, theirs, ours});
  cluster.start();
  for (int i = 0; i < cluster.size(); ++i) {
    for (const wire::OddField& odd : wire::odd_fields())
      send(cluster, i, with(odd.bytes), odd.what);
    for (const wire::OddField& odd : wire::refused_fields()) {
      send(cluster, i, with(odd.bytes), odd.what);
    }
  }
  send(cluster, 0, other_types(), "other types");
  send(cluster, 1, no_utf8(), "no UTF-8");
  expect_same_lists(cluster);
  for (int i = 0; i < cluster.size(); ++i) {
    cluster.check(cluster.at(i).stop(), "stop");
    cluster.check(cluster.at(i).start(), "start again");
    cluster.check(eventually([&] { return cluster.put(i, "again", "v").ok(); }), "put again");
  }
  cluster.expect_equal();
  expect_same_lists(cluster);
  std::cout << (cluster.ok() ? "ok" : "failed") << "\n";
  return cluster.ok() ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::etcd_test(
      argc, argv, "Odd encodings through the doors of etcd and of Keelson.", keelson::cluster::run);
}
