#include "server/discovery.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "membership/cluster.h"
#include "outbound/etcd_client.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

namespace pb = etcdserverpb;

// etcd watches for the others. To ask again costs a few short reads at the start of a cluster, and
// holds through whatever happens to connections and to the other cluster's history.
constexpr milliseconds kBetweenLooks{500};
constexpr milliseconds kBetweenQuestions{100};
constexpr int kMostDoublings = 8;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

outbound::EtcdClientOptions client_options(const DiscoveryConfig& config) {
  outbound::EtcdClientOptions options{.endpoints = config.endpoints,
                                      .channel = {.cert = config.cert,
                                                  .key = config.key,
                                                  .cacert = config.cacert,
                                                  .skip_verify = config.insecure_skip_tls_verify,
                                                  .insecure_transport = config.insecure_transport,
                                                  .keepalive_time = config.keepalive_time,
                                                  .keepalive_timeout = config.keepalive_timeout},
                                      .user = config.user,
                                      .password = config.password,
                                      .dial_timeout = config.dial_timeout,
                                      .request_timeout = config.request_timeout};
  const size_t colon = config.user.find(':');
  if (config.password.empty() && colon != std::string::npos) {
    options.user = config.user.substr(0, colon);
    options.password = config.user.substr(colon + 1);
  }
  return options;
}

// All that is retried, for ever, is retried here.
class Joining {
 public:
  Joining(const Config& config, MemberId self, outbound::EtcdClient& client,
          const std::function<bool()>& given_up)
      : keys_(config.discovery.token),
        self_(self),
        token_(config.discovery.token),
        endpoints_(field_list(config.discovery.endpoints)),
        client_(client),
        given_up_(given_up) {}

  // The initial cluster, when all have come.
  absl::StatusOr<std::string> run(const std::string& entry) {
    if (absl::StatusOr<Registered> found = look(); !found.ok()) return found.status();
    if (absl::Status s = register_self(entry); !s.ok()) return s;
    bool told = false;
    while (true) {
      absl::StatusOr<Registered> found = look();
      if (!found.ok()) return found.status();
      if (found->values.size() >= found->size) {
        tell("found all needed peers from discovery service", *found);
        return initial_cluster_of(found->values, found->size);
      }
      if (!std::exchange(told, true)) tell("waiting for peers from discovery service", *found);
      if (absl::Status s = rest(kBetweenLooks); !s.ok()) return s;
    }
  }

 private:
  struct Registered {
    size_t size = 0;                  // that the cluster is to have
    std::vector<std::string> values;  // by revision: "name=url"
  };

  static std::string field_list(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) out += cat(out.empty() ? "" : ",", part);
    return out;
  }
  void tell(std::string_view what, const Registered& found) const {
    log::info(what, {{"clusterSize", found.size}, {"found-peers", found.values.size()}});
  }
  void warn(std::string_view what, const std::string& key, const absl::Status& why) const {
    log::warn(what, {{"discovery-token", token_},
                     {"discovery-endpoints", endpoints_},
                     {"key", key},
                     {"error", message_of(why)}});
  }

  absl::Status rest(Duration time) const {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
      if (given_up_()) return absl::CancelledError("interrupted while members were missing");
      std::this_thread::sleep_for(kBetweenQuestions);
    }
    return absl::OkStatus();
  }

  // `retries_` failures in a row.
  absl::Status back_off(std::string_view step) {
    retries_ = std::min(retries_ + 1, kMostDoublings);
    const Duration time = seconds(1 << retries_);
    log::warn("retry connecting to discovery service",
              {{"reason", step}, {"backoff", duration_text(time)}});
    return rest(time);
  }

  absl::StatusOr<pb::RangeResponse> range(const std::string& key, bool prefix) {
    pb::RangeRequest request;
    request.set_key(key);
    if (prefix) {
      std::string end = key;
      ++end.back();
      request.set_range_end(end);
      request.set_sort_target(pb::RangeRequest::CREATE);
      request.set_sort_order(pb::RangeRequest::ASCEND);
    }
    return client_.range(request);
  }

  static absl::StatusOr<size_t> size_of(const pb::RangeResponse& response) {
    if (response.kvs_size() == 0) {
      return absl::NotFoundError("discovery: size key not found");
    }
    const std::string& text = response.kvs(0).value();
    absl::StatusOr<int64_t> size = absl::InvalidArgumentError("");
    if (text.find_first_not_of("0123456789", text.starts_with('+') ? 1 : 0) == text.npos) {
      int64_t value = 0;
      const char* first = text.data() + (text.starts_with('+') ? 1 : 0);
      const auto [end, error] = std::from_chars(first, text.data() + text.size(), value);
      if (error == std::errc() && end == text.data() + text.size() && value > 0) {
        return static_cast<size_t>(value);
      }
    }
    return absl::InvalidArgumentError("discovery: size key is bad");
  }

  // ResourceExhausted: there are as many as there are to be, without this one.
  absl::StatusOr<Registered> judge(size_t size, const pb::RangeResponse& members) const {
    Registered found{.size = size};
    const std::string own_key = keys_.member(self_);
    bool full = false, own = false;
    for (const auto& kv : members.kvs()) {
      const std::string key(trimmed(kv.key())), value(trimmed(kv.value()));
      if (value.find('=') == value.npos) {
        log::warn("invalid peer info returned from discovery service",
                  {{"memberKey", key}, {"memberInfo", value}});
        continue;
      }
      own |= key == own_key;
      found.values.push_back(value);
      full |= !own && found.values.size() >= size;
    }
    if (full) return absl::ResourceExhaustedError("discovery: cluster is full");
    return found;
  }

  absl::StatusOr<Registered> look() {
    while (true) {
      absl::StatusOr<pb::RangeResponse> size = range(keys_.size, false);
      if (size.ok()) {
        absl::StatusOr<size_t> wanted = size_of(*size);
        if (!wanted.ok()) return wanted.status();
        absl::StatusOr<pb::RangeResponse> members = range(keys_.members, true);
        if (members.ok()) return retries_ = 0, judge(*wanted, *members);
        warn("failed to get cluster members from discovery service", keys_.members,
             members.status());
      } else {
        warn("failed to get cluster size from discovery service", keys_.size, size.status());
      }
      if (absl::Status s = back_off("cluster status check"); !s.ok()) return s;
    }
  }

  absl::Status register_self(const std::string& entry) {
    pb::PutRequest request;
    request.set_key(keys_.member(self_));
    request.set_value(entry);
    while (true) {
      absl::StatusOr<pb::PutResponse> put = client_.put(request);
      if (put.ok()) break;
      warn("failed to register members itself to the discovery service", request.key(),
           put.status());
      if (absl::Status s = back_off("register member itself"); !s.ok()) return s;
    }
    retries_ = 0;
    log::info("register member itself successfully",
              {{"memberKey", request.key()}, {"memberInfo", entry}});
    return absl::OkStatus();
  }

  const RegistryKeys keys_;
  const MemberId self_;
  const std::string token_, endpoints_;
  outbound::EtcdClient& client_;
  const std::function<bool()>& given_up_;
  int retries_ = 0;  // <= kMostDoublings
};

absl::StatusOr<std::string> founders(const Config& config, const std::function<bool()>& given_up) {
  absl::StatusOr<membership::Bootstrap> alone =
      membership::bootstrap(config.initial_cluster, config.initial_cluster_token);
  if (!alone.ok()) return alone.status();
  if (alone->members.size() != 1) {
    return absl::InvalidArgumentError("--initial-advertise-peer-urls is empty");
  }
  absl::StatusOr<std::unique_ptr<outbound::EtcdClient>> client =
      outbound::EtcdClient::open(client_options(config.discovery));
  if (!client.ok()) return client.status();
  return Joining(config, alone->members.front().id, **client, given_up).run(config.initial_cluster);
}

}  // namespace

// As Go's path.Join has it.
RegistryKeys::RegistryKeys(const std::string& token) {
  std::string prefix = std::filesystem::path("/_etcd/registry/" + token).lexically_normal();
  while (prefix.ends_with('/')) prefix.pop_back();
  size = prefix + "/_config/size";
  members = prefix + "/members";
}

std::string RegistryKeys::member(MemberId id) const {
  return cat(members, "/", absl::Hex(id.value));
}

absl::StatusOr<std::string> initial_cluster_of(const std::vector<std::string>& values,
                                               size_t size) {
  std::string cluster;
  for (size_t i = 0; i < std::min(size, values.size()); ++i) {
    cluster += cat(i == 0 ? "" : ",", values[i]);
  }
  for (const auto& [name, urls] : membership::parse_initial_cluster(cluster)) {
    for (const std::string& url : urls) {
      if (!parse_url(url).ok()) return absl::InvalidArgumentError("discovery: invalid peer URL");
    }
  }
  return cluster;
}

absl::Status join_founders(Config& config, const std::function<bool()>& given_up) {
  if (config.discovery.endpoints.empty()) return absl::OkStatus();
  log::info("Bootstrapping cluster using v3 discovery.");
  absl::StatusOr<std::string> cluster = founders(config, given_up);
  if (cluster.ok()) {
    log::info("discovery joined cluster successfully", {{"cluster", *cluster}});
    config.initial_cluster = *std::move(cluster);
    return absl::OkStatus();
  }
  const absl::Status why(cluster.status().code(), cat("failed to join discovery cluster (",
                                                      message_of(cluster.status()), ")"));
  if (absl::IsCancelled(why)) return why;
  log::error("discovery failed to join cluster", {{"error", message_of(cluster.status())}});
  log::warn("failed to bootstrap; discovery token was already used",
            {{"discovery-token", config.discovery.token}, {"error", message_of(why)}});
  log::warn("do not reuse discovery token; generate a new one to bootstrap a cluster");
  return why;
}

}  // namespace keelson::server
