// ctl/printer.h
//
// Printer: one way (-w) to show answers. A format that has no form of its own for an answer falls
// back to message(); the base class refuses there, as etcdctl does ("table not supported as output
// format", exit code 4).
//
// Threads: one call at a time. Lifetime: the streams must outlive the printer.

#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ctl/grid.h"
#include "proto/rpc.pb.h"

namespace keelson::ctl {

namespace pb = etcdserverpb;

// What `endpoint health`, `status` and `hashkv` found out about one endpoint.
struct EndpointHealth {
  std::string endpoint;
  bool healthy = false;
  std::string took;
  std::string error;
};
struct EndpointStatus {
  std::string endpoint;
  pb::StatusResponse response;
};
struct EndpointHash {
  std::string endpoint;
  pb::HashKVResponse response;
};

class Printer {
 public:
  virtual ~Printer() = default;

  virtual absl::Status get(const pb::RangeResponse& r) { return message(r); }
  virtual absl::Status put(const pb::PutResponse& r) { return message(r); }
  virtual absl::Status del(const pb::DeleteRangeResponse& r) { return message(r); }
  virtual absl::Status txn(const pb::TxnResponse& r) { return message(r); }
  virtual absl::Status watch(const pb::WatchResponse& r) { return message(r); }

  // The four lease answers are no protobuf messages in etcdctl; hence forms of their own.
  virtual absl::Status grant(const pb::LeaseGrantResponse& r) { return refuse(); }
  virtual absl::Status revoke(int64_t id, const pb::LeaseRevokeResponse& r) { return message(r); }
  virtual absl::Status keep_alive(const pb::LeaseKeepAliveResponse& r) { return refuse(); }
  virtual absl::Status time_to_live(const pb::LeaseTimeToLiveResponse& r, bool keys) {
    return refuse();
  }
  virtual absl::Status leases(const pb::LeaseLeasesResponse& r) { return refuse(); }

  virtual absl::Status member_add(const pb::MemberAddResponse& r) { return message(r); }
  virtual absl::Status member_remove(uint64_t id, const pb::MemberRemoveResponse& r) {
    return message(r);
  }
  virtual absl::Status member_update(uint64_t id, const pb::MemberUpdateResponse& r) {
    return message(r);
  }
  virtual absl::Status member_promote(uint64_t id, const pb::MemberPromoteResponse& r) {
    return message(r);
  }
  virtual absl::Status member_list(const pb::MemberListResponse& r) { return message(r); }

  virtual absl::Status health(const std::vector<EndpointHealth>& list) { return refuse(); }
  virtual absl::Status status(const std::vector<EndpointStatus>& list) { return refuse(); }
  virtual absl::Status hash(const std::vector<EndpointHash>& list) { return refuse(); }
  virtual absl::Status alarm(const pb::AlarmResponse& r) { return message(r); }
  virtual absl::Status move_leader(uint64_t from, uint64_t to, const pb::MoveLeaderResponse& r) {
    return message(r);
  }
  // `action` is validate, enable or cancel.
  virtual absl::Status downgrade(const std::string& action, const pb::DowngradeResponse& r) {
    return message(r);
  }

  // The authentication commands that only report success: `text` is the sentence of -w simple.
  virtual absl::Status done(const std::string& text, const google::protobuf::Message& r) {
    return message(r);
  }
  virtual absl::Status role(const std::string& name, const pb::AuthRoleGetResponse& r) {
    return message(r);
  }
  virtual absl::Status roles(const pb::AuthRoleListResponse& r) { return message(r); }
  virtual absl::Status user(const std::string& name, const pb::AuthUserGetResponse& r) {
    return message(r);
  }
  virtual absl::Status users(const pb::AuthUserListResponse& r) { return message(r); }
  virtual absl::Status auth_status(const pb::AuthStatusResponse& r) { return message(r); }

  virtual bool is_simple() const { return false; }
  virtual bool is_fields() const { return false; }
  // Only for -w simple: values without keys.
  virtual void show_values_only() {}

 protected:
  virtual absl::Status message(const google::protobuf::Message& r) { return refuse(); }
  virtual std::string format_name() const = 0;
  absl::Status refuse() const;
};

// nullptr if there is no such format. `err` takes the health complaints of -w simple.
std::unique_ptr<Printer> make_printer(const std::string& format, bool hex, std::ostream& out,
                                      std::ostream& err);

std::unique_ptr<Printer> make_simple_printer(bool hex, std::ostream& out, std::ostream& err);
std::unique_ptr<Printer> make_fields_printer(bool hex, std::ostream& out);
std::unique_ptr<Printer> make_json_printer(bool hex, std::ostream& out);
std::unique_ptr<Printer> make_table_printer(std::ostream& out);
std::unique_ptr<Printer> make_protobuf_printer(std::ostream& out);

// The same columns for -w table and (joined by ", ") -w simple.
Grid member_grid(const pb::MemberListResponse& r);
Grid health_grid(const std::vector<EndpointHealth>& list);
Grid status_grid(const std::vector<EndpointStatus>& list);
Grid hash_grid(const std::vector<EndpointHash>& list);

}  // namespace keelson::ctl
