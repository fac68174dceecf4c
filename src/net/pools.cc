#include "net/pools.h"

#include <cstdlib>
#include <string_view>

namespace keelson::net {

bool pools_keep() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  static const bool keep = [] {
    const char* value = std::getenv("KEELSON_POOLS");
    return !value || std::string_view(value) != "off";
  }();
  return keep;
#endif
}

}  // namespace keelson::net
