#include "proxy/discovery.h"

#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "proxy/log_lists.h"
#include "proxy/tls_check.h"

namespace keelson::proxy {
namespace {

struct Found {
  Endpoint endpoint;
  std::string url;
  bool tls = false;
};

std::vector<std::string> urls_of(const std::vector<Found>& found) {
  std::vector<std::string> urls;
  for (const Found& one : found) urls.push_back(one.url);
  return urls;
}

void log_found(log::Level level, std::string_view message, const Discovery& asked,
               const std::vector<Found>& found) {
  log::write(level, message, {{"srv-server", asked.domain}, listed("endpoints", urls_of(found))});
}

// Takes out whoever is not believed; what is wrong with those, in etcd's words.
absl::StatusOr<std::string> believe(const Discovery& asked, std::vector<Found>& found) {
  std::string complaints;
  const auto complain = [&](const std::string& what) {
    complaints += cat(complaints.empty() ? "" : ",", what);
  };
  std::vector<Found> candidates;
  std::vector<Endpoint> endpoints;
  for (Found& one : found) {
    if (!one.tls) {
      complain(cat("\"", one.url, "\" is insecure"));
      continue;
    }
    endpoints.push_back(one.endpoint);
    candidates.push_back(std::move(one));
  }
  absl::StatusOr<std::vector<absl::Status>> verdicts =
      check_tls(endpoints, asked.domain, asked.trusted_ca_file);
  if (!verdicts.ok()) return verdicts.status();
  found.clear();
  for (size_t i = 0; i < candidates.size(); ++i) {
    if ((*verdicts)[i].ok()) {
      found.push_back(std::move(candidates[i]));
    } else {
      complain(
          cat("\"", candidates[i].url, "\" failed to dial (", message_of((*verdicts)[i]), ")"));
    }
  }
  return complaints;
}

std::vector<Endpoint> endpoints_of(std::vector<Found> found) {
  std::vector<Endpoint> endpoints;
  for (Found& one : found) endpoints.push_back(std::move(one.endpoint));
  return endpoints;
}

}  // namespace

absl::StatusOr<std::vector<Endpoint>> discover(const Discovery& asked,
                                               const outbound::NameServer& server) {
  if (asked.domain.empty()) return std::vector<Endpoint>();
  absl::StatusOr<std::vector<outbound::ClientRecord>> records =
      outbound::client_records(asked.domain, asked.service_name, server);
  if (!records.ok()) return records.status();
  std::vector<Found> found;
  for (const outbound::ClientRecord& record : *records) {
    const outbound::SrvRecord& srv = record.srv;
    found.push_back({{srv.target, srv.port, srv.priority, srv.weight}, record.url(), record.tls});
  }
  log_found(log::Level::kInfo, "discovered cluster from SRV", asked, found);
  if (asked.insecure) return endpoints_of(std::move(found));

  log_found(log::Level::kInfo, "validating discovered SRV endpoints", asked, found);
  const absl::StatusOr<std::string> complaints = believe(asked, found);
  if (!complaints.ok()) return complaints.status();
  if (complaints->empty()) {
    log_found(log::Level::kInfo, "using validated discovered SRV endpoints", asked, found);
  } else {
    log::warn("failed to validate discovered endpoints", {{"srv-server", asked.domain},
                                                          listed("endpoints", urls_of(found)),
                                                          {"error", *complaints}});
  }
  return endpoints_of(std::move(found));
}

}  // namespace keelson::proxy
