#include "membership/v2_store.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace keelson::membership {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hex(MemberId id) { return absl::StrCat(absl::Hex(id.value)); }

// Makes the nodes of the tree; each creation has a number.
class Tree {
 public:
  Json directory(const std::string& path) {
    Json node = bare(path, "");
    node["Children"] = Json::object();
    return node;
  }
  Json value(const std::string& path, std::string text) {
    Json node = bare(path, std::move(text));
    node["Children"] = nullptr;
    return node;
  }
  uint64_t index() const { return index_; }

 private:
  Json bare(const std::string& path, std::string text) {
    ++index_;
    Json node;
    node["Path"] = path;
    node["CreatedIndex"] = index_;
    node["ModifiedIndex"] = index_;
    node["ExpireTime"] = "0001-01-01T00:00:00Z";  // never
    node["Value"] = std::move(text);
    return node;
  }

  uint64_t index_ = 0;
};

Json member_node(Tree& tree, const Member& member) {
  const std::string path = cat("/0/members/", hex(member.id));
  Json raft, attributes = Json::object();
  raft["peerURLs"] = member.peer_urls;
  if (member.is_learner) raft["isLearner"] = true;
  if (!member.name.empty()) attributes["name"] = member.name;
  if (!member.client_urls.empty()) attributes["clientURLs"] = member.client_urls;
  Json node = tree.directory(path);
  Json& children = node["Children"];
  children["raftAttributes"] = tree.value(cat(path, "/raftAttributes"), dump(raft));
  if (!member.client_urls.empty()) {
    children["attributes"] = tree.value(cat(path, "/attributes"), dump(attributes));
  }
  return node;
}

}  // namespace

std::string v2_store_json(const View& view) {
  Tree tree;
  Json members = tree.directory("/0/members");
  for (const Member& member : view.members) {
    members["Children"][hex(member.id)] = member_node(tree, member);
  }
  Json removed = tree.directory("/0/removed_members");
  for (MemberId id : view.removed) {
    removed["Children"][hex(id)] = tree.value(cat("/0/removed_members/", hex(id)), "");
  }
  Json cluster = tree.directory("/0"), keys = tree.directory("/1"), root = tree.directory("/");
  cluster["Children"]["members"] = std::move(members);
  cluster["Children"]["removed_members"] = std::move(removed);
  if (!view.cluster_version.empty()) {
    cluster["Children"]["version"] = tree.value("/0/version", view.cluster_version);
  }
  root["Children"]["0"] = std::move(cluster);
  root["Children"]["1"] = std::move(keys);
  Json store;
  store["Root"] = std::move(root);
  store["CurrentIndex"] = tree.index();
  store["CurrentVersion"] = 2;
  return dump(store);
}

}  // namespace keelson::membership
