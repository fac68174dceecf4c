#include "server/founding.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/text.h"
#include "membership/cluster.h"
#include "server/go_values.h"
#include "server/url_match.h"

namespace keelson::server {
namespace {

// As --initial-cluster has them.
std::string listed(const std::vector<std::string>& urls, const std::string& name) {
  return absl::StrJoin(urls, ",", [&](std::string* out, const std::string& url) {
    absl::StrAppend(out, name, "=", url);
  });
}
std::string listed(const std::vector<std::string>& texts) { return absl::StrJoin(texts, ","); }

// Those of `all` that `others` lacks, once each.
std::vector<std::string> missing(const std::vector<std::string>& all,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> out;
  for (const std::string& text : all) {
    const auto is_in = [&](const std::vector<std::string>& list) {
      return std::find(list.begin(), list.end(), text) != list.end();
    };
    if (!is_in(others) && !is_in(out)) out.push_back(text);
  }
  return out;
}

// --initial-cluster says of this member what --initial-advertise-peer-urls says. `named`: sorted.
absl::Status check_advertised(const Founding& founding, const std::vector<Url>& named) {
  std::vector<Url> ours = founding.advertise_peer_urls;
  std::sort(ours.begin(), ours.end());
  if (ours == named) return absl::OkStatus();
  const std::string why = url_difference(ours, named);
  if (why.empty()) return absl::OkStatus();

  std::vector<std::string> a, b;
  for (const Url& url : ours) a.push_back(url.str());
  for (const Url& url : named) b.push_back(url.str());
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  const std::string& name = founding.name;
  if (std::vector<std::string> lost = missing(b, a); !lost.empty()) {
    return absl::InvalidArgumentError(
        cat("--initial-cluster has ", listed(lost, name),
            " but missing from --initial-advertise-peer-urls=", listed(a), " (", why, ")"));
  }
  if (std::vector<std::string> extra = missing(a, b); !extra.empty()) {
    return absl::InvalidArgumentError(cat("--initial-advertise-peer-urls has ", listed(extra),
                                          " but missing from --initial-cluster=", listed(a, name)));
  }
  return absl::InvalidArgumentError(cat("failed to resolve ", listed(a),
                                        " to match --initial-cluster=", listed(a, name), " (", why,
                                        ")"));
}

// No URL stands twice in --initial-cluster.
absl::Status check_duplicates(const membership::PeerUrls& members) {
  std::set<std::string> seen;
  std::vector<std::string> pairs;
  bool twice = false;
  for (const auto& [name, urls] : members) {
    for (const std::string& url : urls) {
      twice |= !seen.insert(url).second;
      pairs.push_back(cat(name, "=", url));
    }
  }
  if (!twice) return absl::OkStatus();
  std::sort(pairs.begin(), pairs.end());
  return absl::InvalidArgumentError(cat("initial cluster ", listed(pairs), " has duplicate url"));
}

}  // namespace

// In etcd's order.
absl::Status check_founding(const Founding& founding) {
  const membership::PeerUrls members = membership::parse_initial_cluster(founding.initial_cluster);
  std::map<std::string, std::vector<Url>> parsed;
  for (const auto& [name, urls] : members) {
    for (const std::string& text : urls) {
      absl::StatusOr<Url> url = parse_url(text);
      if (!url.ok()) {
        return absl::InvalidArgumentError(
            cat("error setting up initial cluster: ", message_of(url.status())));
      }
      parsed[name].push_back(*std::move(url));
    }
    std::sort(parsed[name].begin(), parsed[name].end());
  }
  auto self = parsed.find(founding.name);
  if (self == parsed.end()) {
    return absl::InvalidArgumentError(cat("couldn't find local name ",
                                          server::quoted(founding.name),
                                          " in the initial cluster configuration"));
  }
  if (!founding.joins) {
    if (absl::Status s = check_advertised(founding, self->second); !s.ok()) return s;
  }
  if (absl::Status s = check_duplicates(members); !s.ok()) return s;
  return absl::OkStatus();
}

}  // namespace keelson::server
