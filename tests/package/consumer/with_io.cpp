// The headers that need nlohmann-json, outside Anther's tree.
#include <anther/io/safetensors.hpp>

int main() {
  return sizeof(anther::Error) > 0 ? 0 : 1;
}
