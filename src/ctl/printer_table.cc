// -w table and -w protobuf.

#include <ostream>

#include "base/text.h"
#include "ctl/grid.h"
#include "ctl/outcome.h"
#include "ctl/printer.h"

namespace keelson::ctl {
namespace {

class TablePrinter final : public Printer {
 public:
  explicit TablePrinter(std::ostream& out) : out_(out) {}

  absl::Status member_list(const pb::MemberListResponse& r) override {
    return table(member_grid(r));
  }
  absl::Status health(const std::vector<EndpointHealth>& list) override {
    return table(health_grid(list));
  }
  absl::Status status(const std::vector<EndpointStatus>& list) override {
    return table(status_grid(list));
  }
  absl::Status hash(const std::vector<EndpointHash>& list) override {
    return table(hash_grid(list));
  }

 protected:
  std::string format_name() const override { return "table"; }

 private:
  absl::Status table(const Grid& grid) {
    print_table(grid, out_);
    return absl::OkStatus();
  }

  std::ostream& out_;
};

class ProtobufPrinter final : public Printer {
 public:
  explicit ProtobufPrinter(std::ostream& out) : out_(out) {}

  // These four are structs of etcdctl's client library with a header inside; only that is a
  // protobuf message, and only that is written.
  absl::Status grant(const pb::LeaseGrantResponse& r) override { return message(r.header()); }
  absl::Status keep_alive(const pb::LeaseKeepAliveResponse& r) override {
    return message(r.header());
  }
  absl::Status time_to_live(const pb::LeaseTimeToLiveResponse& r, bool) override {
    return message(r.header());
  }
  absl::Status leases(const pb::LeaseLeasesResponse& r) override { return message(r.header()); }

  absl::Status watch(const pb::WatchResponse& r) override {
    pb::WatchResponse shown = r;
    shown.clear_watch_id();
    shown.clear_cancel_reason();
    shown.clear_fragment();
    return message(shown);
  }

 protected:
  absl::Status message(const google::protobuf::Message& r) override {
    out_ << r.SerializeAsString();
    return absl::OkStatus();
  }
  std::string format_name() const override { return "protobuf"; }

 private:
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> make_table_printer(std::ostream& out) {
  return std::make_unique<TablePrinter>(out);
}

std::unique_ptr<Printer> make_protobuf_printer(std::ostream& out) {
  return std::make_unique<ProtobufPrinter>(out);
}

}  // namespace keelson::ctl
