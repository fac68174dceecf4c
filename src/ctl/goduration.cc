// Durations as Go reads them ("1m0.5s", "2.461082ms").

#include <array>
#include <cstdlib>
#include <optional>

#include "absl/status/status.h"
#include "base/text.h"
#include "ctl/gotext.h"

namespace keelson::ctl {
namespace {

struct Unit {
  std::string_view name;
  double nanos;
};
// Longer names first: "ms" must not be read as "m".
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1e3},
                                         {"µs", 1e3},
                                         {"μs", 1e3},
                                         {"ms", 1e6},
                                         {"s", 1e9},
                                         {"m", 60e9},
                                         {"h", 3600e9}}};

const Unit* take_unit(std::string_view& text) {
  for (const Unit& unit : kUnits) {
    if (text.substr(0, unit.name.size()) != unit.name) continue;
    text.remove_prefix(unit.name.size());
    return &unit;
  }
  return nullptr;
}

std::optional<double> take_number(std::string_view& text) {
  size_t end = text.find_first_not_of("0123456789.");
  if (end == 0 || end == std::string_view::npos) return std::nullopt;
  std::string digits(text.substr(0, end));
  if (digits == "." || digits.find('.') != digits.rfind('.')) return std::nullopt;
  text.remove_prefix(end);
  return std::strtod(digits.c_str(), nullptr);
}

}  // namespace

absl::StatusOr<Nanos> parse_duration(std::string_view text) {
  absl::Status invalid = absl::InvalidArgumentError(cat("time: invalid duration ", go_quote(text)));
  std::string_view rest = text;
  bool negative = !rest.empty() && rest.front() == '-';
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) rest.remove_prefix(1);
  if (rest == "0") return Nanos(0);
  if (rest.empty()) return invalid;
  double total = 0;
  while (!rest.empty()) {
    if (rest.find_first_not_of("0123456789.") == std::string_view::npos) {
      return absl::InvalidArgumentError(cat("time: missing unit in duration ", go_quote(text)));
    }
    auto number = take_number(rest);
    if (!number.has_value()) return invalid;
    size_t unit_end = std::min(rest.find_first_of("0123456789."), rest.size());
    std::string_view unit_text = rest.substr(0, unit_end);
    const Unit* unit = take_unit(rest);
    if (unit == nullptr || unit->name != unit_text) {
      return absl::InvalidArgumentError(
          cat("time: unknown unit ", go_quote(unit_text), " in duration ", go_quote(text)));
    }
    total += *number * unit->nanos;
    if (total > 9.2e18) return invalid;
  }
  return Nanos(static_cast<int64_t>(negative ? -total : total));
}

}  // namespace keelson::ctl
