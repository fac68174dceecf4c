#include "outbound/srv.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace keelson::outbound {
namespace {

constexpr size_t kLongestAnswer = 65535;

// The resolver's state, of one lookup.
class Resolving {
 public:
  explicit Resolving(const NameServer& server) : ready_(::res_ninit(&state_) == 0) {
    if (!ready_ || !server) return;
    state_.nscount = 1;
    state_.nsaddr_list[0] = *server;
  }
  ~Resolving() {
    if (ready_) ::res_nclose(&state_);
  }
  Resolving(const Resolving&) = delete;
  Resolving& operator=(const Resolving&) = delete;

  absl::StatusOr<std::vector<uint8_t>> ask(const std::string& name) {
    const auto failed = [&name](absl::StatusCode code, std::string_view why) {
      return absl::Status(code, cat("lookup ", name, ": ", why));
    };
    if (!ready_) return failed(absl::StatusCode::kUnavailable, "no resolver configuration");
    std::vector<uint8_t> answer(kLongestAnswer);
    const int length = ::res_nsearch(&state_, name.c_str(), ns_c_in, ns_t_srv, answer.data(),
                                     static_cast<int>(answer.size()));
    if (length >= 0) {
      answer.resize(std::min(answer.size(), static_cast<size_t>(length)));
      return answer;
    }
    switch (state_.res_h_errno) {
      case HOST_NOT_FOUND:
      case NO_DATA:
        return failed(absl::StatusCode::kNotFound, "no such host");
      case TRY_AGAIN:
        return failed(absl::StatusCode::kUnavailable, "the name server does not answer");
      default:
        return failed(absl::StatusCode::kUnavailable, "server misbehaving");
    }
  }

 private:
  struct __res_state state_ = {};
  const bool ready_;
};

// Nothing: the record is not as RFC 2782 has it, or says that the service is not offered.
std::optional<SrvRecord> record_of(const ns_msg& message, const ns_rr& found) {
  constexpr size_t kHead = 6;  // priority, weight, port
  if (ns_rr_type(found) != ns_t_srv || ns_rr_rdlen(found) <= kHead) return std::nullopt;
  const uint8_t* data = ns_rr_rdata(found);
  std::array<char, NS_MAXDNAME> target = {};
  if (::dn_expand(ns_msg_base(message), ns_msg_end(message), data + kHead, target.data(),
                  target.size()) < 0) {
    return std::nullopt;
  }
  SrvRecord record{.target = target.data(),
                   .port = static_cast<uint16_t>(ns_get16(data + 4)),
                   .priority = static_cast<uint16_t>(ns_get16(data)),
                   .weight = static_cast<uint16_t>(ns_get16(data + 2))};
  if (record.target.empty() || record.target == ".") return std::nullopt;
  return record;
}

}  // namespace

absl::StatusOr<std::vector<SrvRecord>> lookup_srv(std::string_view service, std::string_view domain,
                                                  const NameServer& server) {
  const std::string name = cat("_", service, "._tcp.", domain);
  absl::StatusOr<std::vector<uint8_t>> answer = Resolving(server).ask(name);
  if (!answer.ok()) return answer.status();
  ns_msg message = {};
  if (::ns_initparse(answer->data(), static_cast<int>(answer->size()), &message) != 0) {
    return absl::UnavailableError(cat("lookup ", name, ": cannot unmarshal DNS message"));
  }
  std::vector<SrvRecord> records;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr found = {};
    if (::ns_parserr(&message, ns_s_an, i, &found) != 0) break;
    if (std::optional<SrvRecord> record = record_of(message, found)) {
      records.push_back(*std::move(record));
    }
  }
  if (records.empty()) return absl::NotFoundError(cat("lookup ", name, ": no such host"));
  std::stable_sort(records.begin(), records.end(),
                   [](const SrvRecord& a, const SrvRecord& b) { return a.priority < b.priority; });
  return records;
}

std::string srv_service(std::string_view service, std::string_view name, std::string_view scheme) {
  return cat(service, scheme == "https" ? "-ssl" : "", name.empty() ? "" : "-", name);
}

std::string ClientRecord::url() const {
  return cat(tls ? "https://" : "http://", srv.target, ":", srv.port);
}

absl::StatusOr<std::vector<ClientRecord>> client_records(std::string_view domain,
                                                         std::string_view name,
                                                         const NameServer& server) {
  std::vector<ClientRecord> all;
  std::vector<absl::Status> failures;
  for (const bool tls : {true, false}) {
    const std::string service = srv_service("etcd-client", name, tls ? "https" : "http");
    absl::StatusOr<std::vector<SrvRecord>> records = lookup_srv(service, domain, server);
    if (!records.ok()) {
      failures.push_back(records.status());
      continue;
    }
    for (SrvRecord& record : *records) all.push_back({std::move(record), tls});
  }
  if (failures.size() < 2) return all;
  return absl::Status(failures[0].code(), cat("dns lookup errors: ", message_of(failures[0]),
                                              " and ", message_of(failures[1])));
}

absl::StatusOr<std::vector<std::string>> client_urls(std::string_view domain, std::string_view name,
                                                     const NameServer& server) {
  absl::StatusOr<std::vector<ClientRecord>> records = client_records(domain, name, server);
  if (!records.ok()) return records.status();
  std::vector<std::string> urls;
  for (const ClientRecord& record : *records) urls.push_back(record.url());
  return urls;
}

}  // namespace keelson::outbound
