#include "ctl/printer.h"

#include "absl/strings/str_join.h"
#include "base/text.h"
#include "ctl/gotext.h"
#include "ctl/outcome.h"

namespace keelson::ctl {
namespace {

std::string yes_no(bool value) { return value ? "true" : "false"; }

std::vector<std::string> status_row(const EndpointStatus& each) {
  const pb::StatusResponse& r = each.response;
  // A database of no size would divide by zero.
  int64_t unused = r.dbsize() == 0 ? 0 : 100 - r.dbsizeinuse() * 100 / r.dbsize();
  return {each.endpoint,
          hex(r.header().member_id()),
          r.version(),
          r.storageversion(),
          human_bytes(static_cast<uint64_t>(r.dbsize())),
          human_bytes(static_cast<uint64_t>(r.dbsizeinuse())),
          cat(unused, "%"),
          human_bytes(static_cast<uint64_t>(r.dbsizequota())),
          yes_no(r.leader() == r.header().member_id()),
          yes_no(r.islearner()),
          cat(r.raftterm()),
          cat(r.raftindex()),
          cat(r.raftappliedindex()),
          absl::StrJoin(r.errors(), ", "),
          r.downgradeinfo().targetversion(),
          yes_no(r.downgradeinfo().enabled())};
}

}  // namespace

absl::Status Printer::refuse() const {
  return failure(ExitCode::kBadFeature, cat(format_name(), " not supported as output format"));
}

std::unique_ptr<Printer> make_printer(const std::string& format, bool hex, std::ostream& out,
                                      std::ostream& err) {
  if (format == "simple") return make_simple_printer(hex, out, err);
  if (format == "fields") return make_fields_printer(hex, out);
  if (format == "json") return make_json_printer(hex, out);
  if (format == "table") return make_table_printer(out);
  if (format == "protobuf") return make_protobuf_printer(out);
  return nullptr;
}

Grid member_grid(const pb::MemberListResponse& r) {
  Grid grid{{"ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"}, {}};
  for (const pb::Member& m : r.members()) {
    grid.rows.push_back({hex(m.id()), m.name().empty() ? "unstarted" : "started", m.name(),
                         absl::StrJoin(m.peerurls(), ","), absl::StrJoin(m.clienturls(), ","),
                         yes_no(m.islearner())});
  }
  return grid;
}

Grid health_grid(const std::vector<EndpointHealth>& list) {
  Grid grid{{"endpoint", "health", "took", "error"}, {}};
  for (const EndpointHealth& each : list) {
    grid.rows.push_back({each.endpoint, yes_no(each.healthy), each.took, each.error});
  }
  return grid;
}

Grid status_grid(const std::vector<EndpointStatus>& list) {
  Grid grid{{"endpoint", "ID", "version", "storage version", "db size", "in use",
             "percentage not in use", "quota", "is leader", "is learner", "raft term", "raft index",
             "raft applied index", "errors", "downgrade target version", "downgrade enabled"},
            {}};
  for (const EndpointStatus& each : list) grid.rows.push_back(status_row(each));
  return grid;
}

Grid hash_grid(const std::vector<EndpointHash>& list) {
  Grid grid{{"endpoint", "hash", "hash_revision"}, {}};
  for (const EndpointHash& each : list) {
    grid.rows.push_back(
        {each.endpoint, cat(each.response.hash()), cat(each.response.hash_revision())});
  }
  return grid;
}

}  // namespace keelson::ctl
