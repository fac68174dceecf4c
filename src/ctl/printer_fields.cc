// -w fields: one `"Name" : value` per line.

#include <ostream>

#include "ctl/gotext.h"
#include "ctl/printer.h"

namespace keelson::ctl {
namespace {

const char* truth(bool value) { return value ? "true" : "false"; }

class FieldsPrinter final : public Printer {
 public:
  FieldsPrinter(bool hex, std::ostream& out) : hex_(hex), out_(out) {}

  bool is_fields() const override { return true; }

  absl::Status get(const pb::RangeResponse& r) override {
    header(r.header());
    for (const auto& kv : r.kvs()) key_value("", kv);
    line("More", truth(r.more()));
    line("Count", r.count());
    return absl::OkStatus();
  }
  absl::Status put(const pb::PutResponse& r) override {
    header(r.header());
    if (r.has_prev_kv()) key_value("Prev", r.prev_kv());
    return absl::OkStatus();
  }
  absl::Status del(const pb::DeleteRangeResponse& r) override {
    header(r.header());
    line("Deleted", r.deleted());
    for (const auto& kv : r.prev_kvs()) key_value("Prev", kv);
    return absl::OkStatus();
  }
  absl::Status txn(const pb::TxnResponse& r) override {
    header(r.header());
    line("Succeeded", truth(r.succeeded()));
    for (const pb::ResponseOp& op : r.responses()) {
      if (op.has_response_delete_range()) (void)del(op.response_delete_range());
      if (op.has_response_put()) (void)put(op.response_put());
      if (op.has_response_range()) (void)get(op.response_range());
    }
    return absl::OkStatus();
  }
  absl::Status watch(const pb::WatchResponse& r) override {
    header(r.header());
    for (const auto& event : r.events()) {
      line("Type", mvccpb::Event::EventType_Name(event.type()));
      if (event.has_prev_kv()) key_value("Prev", event.prev_kv());
      key_value("", event.kv());
    }
    return absl::OkStatus();
  }

  absl::Status grant(const pb::LeaseGrantResponse& r) override {
    header(r.header());
    lease("ID", r.id());
    line("TTL", r.ttl());
    return absl::OkStatus();
  }
  absl::Status revoke(int64_t, const pb::LeaseRevokeResponse& r) override {
    header(r.header());
    return absl::OkStatus();
  }
  absl::Status keep_alive(const pb::LeaseKeepAliveResponse& r) override {
    header(r.header());
    lease("ID", r.id());
    line("TTL", r.ttl());
    return absl::OkStatus();
  }
  absl::Status time_to_live(const pb::LeaseTimeToLiveResponse& r, bool) override {
    header(r.header());
    lease("ID", r.id());
    line("TTL", r.ttl());
    line("GrantedTTL", r.grantedttl());
    for (const std::string& key : r.keys()) line("Key", go_quote(key));
    return absl::OkStatus();
  }
  absl::Status leases(const pb::LeaseLeasesResponse& r) override {
    header(r.header());
    for (const auto& each : r.leases()) lease("ID", each.id());
    return absl::OkStatus();
  }

  absl::Status member_list(const pb::MemberListResponse& r) override {
    header(r.header());
    for (const pb::Member& m : r.members()) {
      identity("ID", m.id());
      line("Name", go_quote(m.name()));
      for (const std::string& url : m.peerurls()) line("PeerURL", go_quote(url));
      for (const std::string& url : m.clienturls()) line("ClientURL", go_quote(url));
      line("IsLearner", truth(m.islearner()));
      out_ << "\n";
    }
    return absl::OkStatus();
  }

  absl::Status health(const std::vector<EndpointHealth>& list) override {
    for (const EndpointHealth& each : list) {
      line("Endpoint", go_quote(each.endpoint));
      line("Health", truth(each.healthy));
      line("Took", each.took);
      line("Error", each.error);
      out_ << "\n";
    }
    return absl::OkStatus();
  }
  absl::Status status(const std::vector<EndpointStatus>& list) override {
    for (const EndpointStatus& each : list) one_status(each);
    return absl::OkStatus();
  }
  absl::Status hash(const std::vector<EndpointHash>& list) override {
    for (const EndpointHash& each : list) {
      header(each.response.header());
      line("Endpoint", go_quote(each.endpoint));
      line("Hash", each.response.hash());
      line("HashRevision", each.response.hash_revision());
      out_ << "\n";
    }
    return absl::OkStatus();
  }
  absl::Status alarm(const pb::AlarmResponse& r) override {
    header(r.header());
    for (const auto& alarm : r.alarms()) {
      identity("MemberID", alarm.memberid());
      line("AlarmType", pb::AlarmType_Name(alarm.alarm()));
      out_ << "\n";
    }
    return absl::OkStatus();
  }

  absl::Status done(const std::string&, const google::protobuf::Message& r) override {
    // All of them carry a header and nothing else.
    const auto* field = r.GetDescriptor()->FindFieldByName("header");
    if (field == nullptr) return refuse();
    pb::ResponseHeader copy;
    copy.CopyFrom(r.GetReflection()->GetMessage(r, field));
    header(copy);
    return absl::OkStatus();
  }
  absl::Status role(const std::string&, const pb::AuthRoleGetResponse& r) override {
    header(r.header());
    for (const auto& permission : r.perm()) {
      out_ << "\"PermType\" :  " << authpb::Permission::Type_Name(permission.permtype()) << "\n";
      line("Key", go_quote(permission.key()));
      line("RangeEnd", go_quote(permission.range_end()));
    }
    return absl::OkStatus();
  }
  absl::Status roles(const pb::AuthRoleListResponse& r) override {
    header(r.header());
    out_ << "\"Roles\" :";
    for (const std::string& name : r.roles()) out_ << " " << go_quote(name);
    out_ << "\n";
    return absl::OkStatus();
  }

 protected:
  std::string format_name() const override { return "fields"; }

 private:
  template <typename Value>
  void line(std::string_view name, const Value& value) {
    out_ << '"' << name << "\" : " << value << "\n";
  }

  void identity(std::string_view name, uint64_t id) {
    hex_ ? line(name, ctl::hex(id)) : line(name, id);
  }
  void lease(std::string_view name, int64_t id) {
    hex_ ? line(name, hex16(static_cast<uint64_t>(id))) : line(name, id);
  }

  void header(const pb::ResponseHeader& h) {
    identity("ClusterID", h.cluster_id());
    identity("MemberID", h.member_id());
    // Only key-value answers have one.
    if (h.revision() > 0) line("Revision", h.revision());
    line("RaftTerm", h.raft_term());
  }

  void key_value(const std::string& prefix, const mvccpb::KeyValue& kv) {
    line(prefix + "Key", go_quote(kv.key()));
    line(prefix + "CreateRevision", kv.create_revision());
    line(prefix + "ModRevision", kv.mod_revision());
    line(prefix + "Version", kv.version());
    line(prefix + "Value", go_quote(kv.value()));
    lease(prefix + "Lease", kv.lease());
  }

  void one_status(const EndpointStatus& each) {
    const pb::StatusResponse& r = each.response;
    std::vector<std::string> errors(r.errors().begin(), r.errors().end());
    header(r.header());
    line("Version", go_quote(r.version()));
    line("StorageVersion", go_quote(r.storageversion()));
    line("DBSize", r.dbsize());
    line("DBSizeInUse", r.dbsizeinuse());
    line("DBSizeQuota", r.dbsizequota());
    line("Leader", r.leader());
    line("IsLearner", truth(r.islearner()));
    line("RaftIndex", r.raftindex());
    line("RaftTerm", r.raftterm());
    line("RaftAppliedIndex", r.raftappliedindex());
    line("Errors", "[" + join(errors, " ") + "]");
    line("Endpoint", go_quote(each.endpoint));
    line("DowngradeTargetVersion", go_quote(r.downgradeinfo().targetversion()));
    line("DowngradeEnabled", truth(r.downgradeinfo().enabled()));
    out_ << "\n";
  }

  const bool hex_;
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_fields_printer(bool hex, std::ostream& out) {
  return std::make_unique<FieldsPrinter>(hex, out);
}

}  // namespace keelson::ctl
