// -w table and -w protobuf.

#include <algorithm>
#include <cctype>
#include <ostream>

#include "base/text.h"
#include "ctl/outcome.h"
#include "ctl/printer.h"

namespace keelson::ctl {
namespace {

// Columns on the terminal: UTF-8 continuation bytes take no room.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string repeat(std::string_view piece, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += piece;
  return out;
}

std::string title(std::string text) {
  for (char& c : text) c = c == '_' ? ' ' : static_cast<char>(std::toupper(c));
  return text;
}

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
  using Widths = std::vector<size_t>;

  void rule(const Widths& widths, std::string_view left, std::string_view middle,
            std::string_view right) {
    for (size_t i = 0; i < widths.size(); ++i) {
      out_ << (i == 0 ? left : middle) << repeat("─", widths[i] + 2);
    }
    out_ << right << "\n";
  }

  // Headings are centred (the odd blank goes right), cells stand right.
  void row(const Widths& widths, const std::vector<std::string>& cells, bool heading) {
    for (size_t i = 0; i < widths.size(); ++i) {
      size_t gap = widths[i] - width_of(cells[i]);
      size_t left = heading ? gap / 2 : gap;
      out_ << "│ " << std::string(left, ' ') << cells[i] << std::string(gap - left, ' ') << " ";
    }
    out_ << "│\n";
  }

  absl::Status table(Grid grid) {
    for (std::string& heading : grid.header) heading = title(heading);
    Widths widths;
    for (size_t i = 0; i < grid.header.size(); ++i) {
      widths.push_back(width_of(grid.header[i]));
      for (const auto& cells : grid.rows) {
        widths[i] = std::max(widths[i], width_of(cells[i]));
      }
    }
    rule(widths, "┌", "┬", "┐");
    row(widths, grid.header, true);
    rule(widths, "├", "┼", "┤");
    for (const auto& cells : grid.rows) row(widths, cells, false);
    rule(widths, "└", "┴", "┘");
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
