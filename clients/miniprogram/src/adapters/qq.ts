import type { Platform } from '../api'
import { likeWx } from './login'

/** The platform of a mini program of QQ, from its global object `qq`. */
export function qq(qq: Platform): Platform {
  return likeWx(qq, 'qq')
}
