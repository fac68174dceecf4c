// -w json: what Go's encoding/json makes of etcdctl's structs. Answers of leases and watches are
// structs of the Go client (other names, header members inlined, zero values kept).

#include <ostream>

#include "base/text.h"
#include "ctl/gotext.h"
#include "ctl/json_text.h"
#include "ctl/printer.h"

namespace keelson::ctl {
namespace {

std::string hex_header(const pb::ResponseHeader& h) {
  JsonObject object;
  object.text("cluster_id", hex(h.cluster_id())).text("member_id", hex(h.member_id()));
  if (h.revision() != 0) object.raw("revision", cat(h.revision()));
  if (h.raft_term() != 0) object.raw("raft_term", cat(h.raft_term()));
  return object.str();
}

std::string hex_member(const pb::Member& m) {
  pb::Member rest = m;
  rest.clear_id();
  return JsonObject().text("ID", hex(m.id())).embed(json_message(rest)).str();
}

class JsonPrinter final : public Printer {
 public:
  JsonPrinter(bool hex, std::ostream& out) : hex_(hex), out_(out) {}

  absl::Status watch(const pb::WatchResponse& r) override {
    // What a client's library makes of a refusal has no list, not an empty one.
    const bool comes_of_a_server = r.has_header();
    std::vector<std::string> events;
    for (const auto& event : r.events()) events.push_back(json_message(event));
    return line(JsonObject()
                    .raw("Header", json_message(r.header()))
                    .raw("Events", comes_of_a_server ? json_array(events) : "null")
                    .raw("CompactRevision", cat(r.compact_revision()))
                    .raw("Canceled", r.canceled() ? "true" : "false")
                    .raw("Created", r.created() ? "true" : "false")
                    .text("CancelReason", r.cancel_reason()));
  }

  absl::Status grant(const pb::LeaseGrantResponse& r) override {
    return line(JsonObject()
                    .embed(json_message(r.header()))
                    .raw("ID", cat(r.id()))
                    .raw("TTL", cat(r.ttl()))
                    .text("Error", r.error()));
  }
  absl::Status keep_alive(const pb::LeaseKeepAliveResponse& r) override {
    return line(JsonObject()
                    .embed(json_message(r.header()))
                    .raw("ID", cat(r.id()))
                    .raw("TTL", cat(r.ttl())));
  }
  absl::Status time_to_live(const pb::LeaseTimeToLiveResponse& r, bool) override {
    std::vector<std::string> keys;
    for (const std::string& key : r.keys()) keys.push_back(cat("\"", base64(key), "\""));
    return line(JsonObject()
                    .embed(json_message(r.header()))
                    .raw("id", cat(r.id()))
                    .raw("ttl", cat(r.ttl()))
                    .raw("granted-ttl", cat(r.grantedttl()))
                    .raw("keys", keys.empty() ? "null" : json_array(keys)));
  }
  absl::Status leases(const pb::LeaseLeasesResponse& r) override {
    std::vector<std::string> ids;
    for (const auto& lease : r.leases()) {
      ids.push_back(JsonObject().raw("id", cat(lease.id())).str());
    }
    return line(JsonObject().embed(json_message(r.header())).raw("leases", json_array(ids)));
  }

  absl::Status member_add(const pb::MemberAddResponse& r) override {
    if (!hex_) return message(r);
    return line(JsonObject()
                    .raw("header", hex_header(r.header()))
                    .raw("member", hex_member(r.member()))
                    .raw("members", hex_members(r)));
  }
  absl::Status member_remove(uint64_t, const pb::MemberRemoveResponse& r) override {
    return members(r);
  }
  absl::Status member_update(uint64_t, const pb::MemberUpdateResponse& r) override {
    return members(r);
  }
  absl::Status member_promote(uint64_t, const pb::MemberPromoteResponse& r) override {
    return members(r);
  }
  absl::Status member_list(const pb::MemberListResponse& r) override { return members(r); }

  absl::Status health(const std::vector<EndpointHealth>& list) override {
    std::vector<std::string> items;
    for (const EndpointHealth& each : list) {
      JsonObject item;
      item.text("endpoint", each.endpoint).raw("health", each.healthy ? "true" : "false");
      item.text("took", each.took);
      if (!each.error.empty()) item.text("error", each.error);
      items.push_back(item.str());
    }
    return array(items);
  }
  absl::Status status(const std::vector<EndpointStatus>& list) override {
    return answers(list, "Status");
  }
  absl::Status hash(const std::vector<EndpointHash>& list) override {
    return answers(list, "HashKV");
  }

 protected:
  absl::Status message(const google::protobuf::Message& r) override {
    out_ << json_message(r) << "\n";
    return absl::OkStatus();
  }
  std::string format_name() const override { return "json"; }

 private:
  absl::Status line(const JsonObject& object) {
    out_ << object.str() << "\n";
    return absl::OkStatus();
  }

  template <typename Response>
  std::string hex_members(const Response& r) {
    std::vector<std::string> items;
    for (const pb::Member& m : r.members()) items.push_back(hex_member(m));
    return json_array(items);
  }

  template <typename Response>
  absl::Status members(const Response& r) {
    if (!hex_) return message(r);
    return line(JsonObject().raw("header", hex_header(r.header())).raw("members", hex_members(r)));
  }

  template <typename List>
  absl::Status answers(const List& list, std::string_view name) {
    std::vector<std::string> items;
    for (const auto& each : list) {
      items.push_back(JsonObject()
                          .text("Endpoint", each.endpoint)
                          .raw(name, json_message(each.response))
                          .str());
    }
    return array(items);
  }

  // A nil slice in Go is null, not [].
  absl::Status array(const std::vector<std::string>& items) {
    out_ << (items.empty() ? "null" : json_array(items)) << "\n";
    return absl::OkStatus();
  }

  const bool hex_;
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_json_printer(bool hex, std::ostream& out) {
  return std::make_unique<JsonPrinter>(hex, out);
}

}  // namespace keelson::ctl
