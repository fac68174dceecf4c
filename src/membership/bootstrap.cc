// A new cluster's members and ids, from --initial-cluster and --initial-cluster-token.

#include <openssl/sha.h>

#include <algorithm>
#include <map>

#include "base/endian.h"
#include "base/text.h"
#include "membership/cluster.h"

namespace keelson::membership {
namespace {

uint64_t first_eight_of_sha1(std::string_view text) {
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return load_big64(reinterpret_cast<const char*>(digest));
}

MemberId member_id(const std::vector<std::string>& sorted_peer_urls, std::string_view token) {
  std::string text;
  for (const std::string& url : sorted_peer_urls) text += url;
  return MemberId(first_eight_of_sha1(text.append(token)));
}

ClusterId cluster_id(const std::vector<Member>& by_id) {
  std::string text;
  for (const Member& member : by_id) text += big64(member.id.value);
  return ClusterId(first_eight_of_sha1(text));
}

}  // namespace

Member new_member(std::vector<std::string> peer_urls, bool is_learner, Duration unix_time) {
  std::sort(peer_urls.begin(), peer_urls.end());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(unix_time).count();
  const MemberId id = member_id(peer_urls, cat(seconds));
  return {.id = id, .peer_urls = std::move(peer_urls), .is_learner = is_learner};
}

PeerUrls parse_initial_cluster(std::string_view initial_cluster) {
  PeerUrls urls_by_name;
  while (!initial_cluster.empty()) {
    std::string_view pair = initial_cluster.substr(0, initial_cluster.find(','));
    initial_cluster.remove_prefix(std::min(pair.size() + 1, initial_cluster.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view url = pair.substr(std::min(equals + 1, pair.size()));
    urls_by_name[std::string(pair.substr(0, equals))].emplace_back(url);
  }
  for (auto& [name, urls] : urls_by_name) std::sort(urls.begin(), urls.end());
  return urls_by_name;
}

absl::StatusOr<Bootstrap> bootstrap(std::string_view initial_cluster, std::string_view token) {
  Bootstrap made;
  for (const auto& [name, urls] : parse_initial_cluster(initial_cluster)) {
    made.members.push_back({.id = member_id(urls, token), .name = name, .peer_urls = urls});
  }
  std::sort(made.members.begin(), made.members.end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  auto twice = std::adjacent_find(made.members.begin(), made.members.end(),
                                  [](const Member& a, const Member& b) { return a.id == b.id; });
  if (twice != made.members.end()) {
    return absl::InvalidArgumentError(cat("member exists with identical ID: ", twice->name, " and ",
                                          std::next(twice)->name, " have the same peer URLs"));
  }
  made.cluster = cluster_id(made.members);
  return made;
}

}  // namespace keelson::membership
