import type { Platform } from '../api'
import { likeWx } from './login'

/** The platform of a mini program of Kuaishou, from its global object `ks`. */
export function kuaishou(ks: Platform): Platform {
  return likeWx(ks, 'ks')
}
