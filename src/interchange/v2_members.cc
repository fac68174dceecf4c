#include "interchange/v2_members.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::interchange {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A node of the tree; a leaf has a value, a directory children.
Json node(const std::string& path, const std::string& value) {
  return {{"Path", path},       {"CreatedIndex", 0},
          {"ModifiedIndex", 0}, {"ExpireTime", "0001-01-01T00:00:00Z"},
          {"Value", value},     {"Children", nullptr}};
}

// The directory at the end of `path` ("/0/members"), made where it is missing.
Json& directory(Json& root, std::string_view path) {
  Json* at = &root;
  std::string so_far;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(name.size());
    so_far += "/" + name;
    Json& children = (*at)["Children"];
    if (children.is_null()) children = Json::object();
    if (!children.contains(name)) children[name] = node(so_far, "");
    at = &children[name];
  }
  if ((*at)["Children"].is_null()) (*at)["Children"] = Json::object();
  return *at;
}

void put(Json& root, const std::string& path, const std::string& value) {
  const size_t slash = path.rfind('/');
  Json& parent = directory(root, std::string_view(path).substr(0, slash));
  parent["Children"][path.substr(slash + 1)] = node(path, value);
}

}  // namespace

std::string v2_members(const std::vector<membership::Member>& members,
                       const std::vector<MemberId>& removed, std::string_view cluster_version) {
  Json root = node("/", "");
  directory(root, "/0");
  directory(root, "/1");
  for (const membership::Member& member : members) {
    const std::string path = cat("/0/members/", absl::Hex(member.id.value));
    Json attributes = Json::object(), raft_attributes = Json::object();
    if (!member.name.empty()) attributes["name"] = member.name;
    if (!member.client_urls.empty()) attributes["clientURLs"] = member.client_urls;
    raft_attributes["peerURLs"] = member.peer_urls;
    if (member.is_learner) raft_attributes["isLearner"] = true;
    put(root, path + "/raftAttributes", dump(raft_attributes));
    put(root, path + "/attributes", dump(attributes));
  }
  for (const MemberId id : removed) {
    put(root, cat("/0/removed_members/", absl::Hex(id.value)), "removed");
  }
  if (!cluster_version.empty()) put(root, "/0/version", std::string(cluster_version));
  // Events and statistics of the tree are left out: etcd then keeps those that a new tree has.
  return dump(Json{{"Root", root}, {"CurrentIndex", 0}, {"CurrentVersion", 2}});
}

std::string snap_file_name(Term term, Index index) {
  return cat(absl::Hex(term.value, absl::kZeroPad16), "-", absl::Hex(index.value, absl::kZeroPad16),
             ".snap");
}

Bytes snap_file(const raft::SnapshotMetadata& metadata, std::string_view data) {
  return wire::wrap_snap_file(
      wire::encode(raft::Snapshot{.data = Bytes::copy(data), .metadata = metadata}));
}

}  // namespace keelson::interchange
