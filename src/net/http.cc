#include "net/http.h"

#include "absl/strings/match.h"
#include "base/text.h"

namespace keelson::net {

std::string_view HttpRequest::path() const {
  if (!meant.empty()) return meant;
  return std::string_view(target).substr(0, target.find('?'));
}

std::string_view HttpRequest::query() const {
  size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

std::string_view HttpRequest::field(std::string_view name) const {
  for (const HttpField& f : fields) {
    if (absl::EqualsIgnoreCase(to_absl(f.name), to_absl(name))) return f.value;
  }
  return {};
}

}  // namespace keelson::net
