#include "peer/headers.h"

#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/text.h"

namespace keelson::peer {

// --- Paths -----------------------------------------------------------------------------------

std::string stream_path(StreamType type, MemberId from) {
  const std::string_view name = type == StreamType::kMessage ? "message" : "msgapp";
  return cat(kStreamPrefix, name, "/", id_text(from.value));
}

std::string id_text(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

std::optional<uint64_t> parse_id(std::string_view text) {
  uint64_t id = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return id;
}

// --- Headers ---------------------------------------------------------------------------------

namespace {

constexpr std::string_view kServerFrom = "X-Server-From";
constexpr std::string_view kServerVersion = "X-Server-Version";
constexpr std::string_view kMinClusterVersion = "X-Min-Cluster-Version";
constexpr std::string_view kClusterId = "X-Etcd-Cluster-ID";
constexpr std::string_view kRaftTo = "X-Raft-To";
constexpr std::string_view kPeerUrls = "X-PeerURLs";

std::vector<std::string> split_urls(std::string_view text) {
  std::vector<std::string> urls;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    urls.emplace_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return urls;
}

}  // namespace

void take_header(std::string_view name, std::string_view value, PeerHeaders* headers) {
  const auto is = [&](std::string_view known) {
    return absl::EqualsIgnoreCase(to_absl(name), to_absl(known));
  };
  // Of a header that comes twice the first counts.
  const auto keep = [&](std::string_view* field) {
    if (field->empty()) *field = value;
  };
  if (is(kServerFrom)) keep(&headers->server_from);
  if (is(kServerVersion)) keep(&headers->server_version);
  if (is(kMinClusterVersion)) keep(&headers->min_cluster_version);
  if (is(kClusterId)) keep(&headers->cluster_id);
  if (is(kRaftTo)) keep(&headers->raft_to);
  if (is(kPeerUrls)) keep(&headers->peer_urls);
}

HeaderList request_headers(const LocalMember& local, const std::vector<std::string>& urls,
                           std::optional<MemberId> to) {
  HeaderList headers = {{kServerFrom, id_text(local.id.value)},
                        {kServerVersion, std::string(local.version)},
                        {kMinClusterVersion, std::string(local.min_cluster_version)},
                        {kClusterId, id_text(local.cluster.value)}};
  if (to) headers.emplace_back(kRaftTo, id_text(to->value));
  if (!urls.empty()) headers.emplace_back(kPeerUrls, absl::StrJoin(urls, ","));
  return headers;
}

std::optional<IntroducedMember> introduced_by(const PeerHeaders& headers) {
  const std::optional<uint64_t> from = parse_id(headers.server_from);
  if (!from || headers.peer_urls.empty()) return std::nullopt;
  return IntroducedMember{.id = MemberId(*from), .urls = split_urls(headers.peer_urls)};
}

}  // namespace keelson::peer
