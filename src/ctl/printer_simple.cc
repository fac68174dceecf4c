// -w simple: made for reading and for shell pipes.

#include <ostream>

#include "base/text.h"
#include "ctl/gotext.h"
#include "ctl/keys.h"
#include "ctl/printer.h"

namespace keelson::ctl {
namespace {

class SimplePrinter final : public Printer {
 public:
  SimplePrinter(bool hex, std::ostream& out, std::ostream& err) : hex_(hex), out_(out), err_(err) {}

  bool is_simple() const override { return true; }
  void show_values_only() override { values_only_ = true; }

  absl::Status get(const pb::RangeResponse& r) override {
    for (const auto& kv : r.kvs()) key_value(kv);
    return absl::OkStatus();
  }

  absl::Status put(const pb::PutResponse& r) override {
    out_ << "OK\n";
    if (r.has_prev_kv()) key_value(r.prev_kv());
    return absl::OkStatus();
  }

  absl::Status del(const pb::DeleteRangeResponse& r) override {
    out_ << r.deleted() << "\n";
    for (const auto& kv : r.prev_kvs()) key_value(kv);
    return absl::OkStatus();
  }

  absl::Status txn(const pb::TxnResponse& r) override {
    out_ << (r.succeeded() ? "SUCCESS" : "FAILURE") << "\n";
    for (const pb::ResponseOp& op : r.responses()) {
      out_ << "\n";
      if (op.has_response_delete_range()) (void)del(op.response_delete_range());
      if (op.has_response_put()) (void)put(op.response_put());
      if (op.has_response_range()) (void)get(op.response_range());
    }
    return absl::OkStatus();
  }

  absl::Status watch(const pb::WatchResponse& r) override {
    for (const auto& event : r.events()) {
      out_ << mvccpb::Event::EventType_Name(event.type()) << "\n";
      if (event.has_prev_kv()) key_value(event.prev_kv());
      key_value(event.kv());
    }
    return absl::OkStatus();
  }

  absl::Status grant(const pb::LeaseGrantResponse& r) override {
    return line("lease ", id(r.id()), " granted with TTL(", r.ttl(), "s)");
  }
  absl::Status revoke(int64_t lease, const pb::LeaseRevokeResponse&) override {
    return line("lease ", id(lease), " revoked");
  }
  absl::Status keep_alive(const pb::LeaseKeepAliveResponse& r) override {
    return line("lease ", id(r.id()), " keepalived with TTL(", r.ttl(), ")");
  }
  absl::Status time_to_live(const pb::LeaseTimeToLiveResponse& r, bool keys) override {
    if (r.grantedttl() == 0 && r.ttl() == -1) return line("lease ", id(r.id()), " already expired");
    std::string attached;
    if (keys) {
      std::vector<std::string> names(r.keys().begin(), r.keys().end());
      attached = cat(", attached keys([", join(names, " "), "])");
    }
    return line("lease ", id(r.id()), " granted with TTL(", r.grantedttl(), "s), remaining(",
                r.ttl(), "s)", attached);
  }
  absl::Status leases(const pb::LeaseLeasesResponse& r) override {
    out_ << "found " << r.leases_size() << " leases\n";
    for (const auto& lease : r.leases()) out_ << id(lease.id()) << "\n";
    return absl::OkStatus();
  }

  absl::Status member_add(const pb::MemberAddResponse& r) override {
    return line("Member ", hex_wide(r.member().id()), " added",
                r.member().islearner() ? " as learner " : " ", "to cluster ", cluster(r));
  }
  absl::Status member_remove(uint64_t member, const pb::MemberRemoveResponse& r) override {
    return line("Member ", hex_wide(member), " removed from cluster ", cluster(r));
  }
  absl::Status member_update(uint64_t member, const pb::MemberUpdateResponse& r) override {
    return line("Member ", hex_wide(member), " updated in cluster ", cluster(r));
  }
  absl::Status member_promote(uint64_t member, const pb::MemberPromoteResponse& r) override {
    return line("Member ", hex_wide(member), " promoted in cluster ", cluster(r));
  }
  absl::Status member_list(const pb::MemberListResponse& r) override {
    return rows(member_grid(r));
  }

  absl::Status health(const std::vector<EndpointHealth>& list) override {
    for (const EndpointHealth& each : list) {
      if (each.error.empty()) {
        out_ << each.endpoint
             << " is healthy: successfully committed proposal: took = " << each.took << "\n";
      } else {
        err_ << each.endpoint << " is unhealthy: failed to commit proposal: " << each.error << "\n";
      }
    }
    return absl::OkStatus();
  }
  absl::Status status(const std::vector<EndpointStatus>& list) override {
    return rows(status_grid(list));
  }
  absl::Status hash(const std::vector<EndpointHash>& list) override {
    return rows(hash_grid(list));
  }
  absl::Status alarm(const pb::AlarmResponse& r) override {
    for (const auto& alarm : r.alarms()) {
      out_ << "memberID:" << alarm.memberid() << " alarm:" << pb::AlarmType_Name(alarm.alarm())
           << "\n";
    }
    return absl::OkStatus();
  }
  absl::Status move_leader(uint64_t from, uint64_t to, const pb::MoveLeaderResponse&) override {
    return line("Leadership transferred from ", ctl::hex(from), " to ", ctl::hex(to));
  }
  absl::Status downgrade(const std::string& action, const pb::DowngradeResponse& r) override {
    return line("Downgrade ", action, " success, cluster version ", r.version());
  }

  absl::Status done(const std::string& text, const google::protobuf::Message&) override {
    return line(text);
  }
  absl::Status role(const std::string& name, const pb::AuthRoleGetResponse& r) override {
    out_ << "Role " << name << "\n";
    for (auto type : {authpb::Permission::READ, authpb::Permission::WRITE}) {
      out_ << (type == authpb::Permission::READ ? "KV Read:\n" : "KV Write:\n");
      if (name == "root" && r.perm().empty()) out_ << "\t[, <open ended>\n";
      for (const auto& permission : r.perm()) {
        auto granted = permission.permtype();
        if (granted == type || granted == authpb::Permission::READWRITE) show(permission);
      }
    }
    return absl::OkStatus();
  }
  absl::Status roles(const pb::AuthRoleListResponse& r) override {
    for (const std::string& name : r.roles()) out_ << name << "\n";
    return absl::OkStatus();
  }
  absl::Status user(const std::string& name, const pb::AuthUserGetResponse& r) override {
    out_ << "User: " << name << "\nRoles:";
    for (const std::string& role : r.roles()) out_ << " " << role;
    return line("");
  }
  absl::Status users(const pb::AuthUserListResponse& r) override {
    for (const std::string& name : r.users()) out_ << name << "\n";
    return absl::OkStatus();
  }
  absl::Status auth_status(const pb::AuthStatusResponse& r) override {
    out_ << "Authentication Status: " << (r.enabled() ? "true" : "false") << "\n";
    return line("AuthRevision: ", r.authrevision());
  }

 protected:
  std::string format_name() const override { return "simple"; }

 private:
  static std::string id(int64_t lease) { return hex16(static_cast<uint64_t>(lease)); }

  template <typename Response>
  static std::string cluster(const Response& r) {
    return hex_wide(r.header().cluster_id());
  }

  template <typename... Parts>
  absl::Status line(const Parts&... parts) {
    out_ << cat(parts...) << "\n";
    return absl::OkStatus();
  }

  void key_value(const mvccpb::KeyValue& kv) {
    if (!values_only_) out_ << (hex_ ? escaped_hex(kv.key()) : kv.key()) << "\n";
    out_ << (hex_ ? escaped_hex(kv.value()) : kv.value()) << "\n";
  }

  void show(const authpb::Permission& permission) {
    const std::string& end = permission.range_end();
    if (end.empty()) {
      out_ << "\t" << permission.key() << "\n";
      return;
    }
    bool open = end == std::string_view("\0", 1);
    out_ << "\t[" << permission.key() << ", " << (open ? "<open ended>" : cat(end, ")"));
    if (!permission.key().empty() && prefix_end(permission.key()) == end) {
      out_ << " (prefix " << permission.key() << ")";
    }
    out_ << "\n";
  }

  absl::Status rows(const Grid& grid) {
    for (const auto& row : grid.rows) out_ << join(row, ", ") << "\n";
    return absl::OkStatus();
  }

  const bool hex_;
  bool values_only_ = false;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

std::unique_ptr<Printer> make_simple_printer(bool hex, std::ostream& out, std::ostream& err) {
  return std::make_unique<SimplePrinter>(hex, out, err);
}

}  // namespace keelson::ctl
